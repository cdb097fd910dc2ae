"""Simple rules on a training, and the screen of its data: what each looks at, and when it is broken."""
