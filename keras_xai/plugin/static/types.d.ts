/**
 * The records that the server sends, and what the modules hand to each other. For the type checker alone: it is neither
 * shipped nor served. Axis letters as in `keras_xai.records`: B sample, E epoch, F feature, K class.
 */

type Source = "live" | "clean" | "data";
type AlertSource = Source | "gap" | "rule";
/** What updates are counted in. In all answers `epoch` and `epochs` are the numbers of updates in this unit. */
type Unit = "epoch" | "step";
type Verdict = "data changed" | "reliance moved" | "training-only shortcut" | "rows differ" | "rule broken";
type Kind = "table" | "image" | "series" | "tokens" | "volume";
type ColourMap = "sequential" | "diverging" | "ember";
type Theme = "light" | "dark";
type Extent = [low: number, high: number];
/** How many cells of a map of the input lie along each axis: rows and columns, or depth, rows and columns. */
type Cells = number[];

// Arrays, as `core/api.js` makes them of the server's bytes.

interface Tensor<T> {
  shape: number[];
  data: T;
}
type IntTensor = Tensor<Int32Array>;
type ByteTensor = Tensor<Uint8Array>;
interface FloatTensor extends Tensor<Float32Array> {
  steps?: undefined;
  low?: undefined;
}
/** Maps as floats, or as bytes that stand for floats: `Quantized`. */
type MapTensor = FloatTensor | import("./core/api.js").Quantized;
type AnyTensor = IntTensor | ByteTensor | MapTensor;

interface ArrayHeader {
  name: string;
  dtype: "float32" | "int32" | "uint8";
  shape: number[];
  offset: number;
  /** the ends of each row's scale, of an array that is quantized */
  low?: number[];
  high?: number[];
}
/** An answer that came as bytes: a header, and every array under its name. */
interface Framed {
  arrays: ArrayHeader[];
}

// Answers of the routes.

/** A run as the picker and the status line show it. */
interface Card {
  name: string;
  error: string;
  unit: Unit;
  epochs: number;
  /** whether the untrained model was explained */
  before: boolean;
  last: { epoch: number; moment: string; wall_time: number; seconds: number | null } | null;
  alerts: number;
  flags: Record<string, number>;
  probe: { kind: Kind; size: number; whole_size: number; hash: string } | null;
  faults: number;
  not_finite?: boolean;
  /** listed, and not read yet */
  pending?: boolean;
  stamp: string;
}

interface Index {
  log_dir: string;
  /** the log directory from the root, or its address: no other one has this name */
  place: string;
  now: number;
  runs: Card[];
}

/** What is null was not recorded; a number that is not finite is in words. */
type Recorded = number | string | null;

/** A run in the table of runs. */
interface RunRow {
  name: string;
  /** of the card that it belongs to */
  stamp: string;
  /** why the run cannot be read; nothing else is there then */
  error?: string;
  verdict: "alarm" | "quiet" | "not watched";
  /** of the verdict, a sentence */
  reason: string;
  since: number | null;
  moment: string;
  guilty: string;
  score: Recorded;
  limit: Recorded;
  metric_name: string;
  metric: Recorded;
  loss: Recorded;
  flags: string[];
  updates: number;
  unit: Unit;
  written: number | null;
}

/** `FeatureMove` of `keras_xai.records`. */
type FeatureMove = [name: string, before: number, after: number, direction: number, z: number | null];

/** A training row that carries a feature, in words. */
type Carrier = [feature: string, row: string, label: string, value: string, share: string];

interface AlertRecord {
  epoch: number;
  /** in words */
  moment: string;
  source: AlertSource;
  verdict: Verdict;
  /** false for training rows that merely differ */
  alarm: boolean;
  /** equal for the alerts of one event */
  cause: string;
  sentence: string;
  advice: string;
  rows: Carrier[];
  /** the live rows that set it off, where that was recorded */
  set_off_by: TaughtRow[];
  learning_rate_rising: boolean;
  features: FeatureMove[];
  score: number | null;
  limit: number | null;
  lasted: number;
  changed_words: string | null;
}

interface Method {
  name: string;
  title: string;
  epochs: number[];
  /** whether the untrained model was explained by it */
  before: boolean;
  quantity: "contribution" | "slope" | "other";
  /** whose units the values are of; "" for values of the input, and for maps */
  layer: string;
  /** of the output that is explained; null in an older file */
  task: string | null;
  /** by update: what was measured of its maps, and each check that they fail as a sentence */
  checks: { epoch: number; words: string; faults: string[] }[];
}

interface ProbeInfo {
  kind: Kind;
  size: number;
  /** samples of the probe that the gallery was chosen from, and its rows of them; null in an older file */
  whole_size: number;
  rows: number[] | null;
  hash: string;
  stored: boolean;
  labels: number[] | null;
  class_names: string[] | null;
  features: string[];
  inputs: string[];
  /** the score that is explained, as a clause; "" where it is a class of the sample */
  explained: string;
  cells?: Cells | null;
  /** slices of a volume */
  depth?: number;
}

interface SourceInfo {
  epochs: number[];
  score: (number | null)[];
  limit: number;
  names: string[];
  unmeasured: string[];
}

/** A live row that taught the model something, in words. */
interface TaughtRow {
  row: number;
  label: string;
  score: string;
}

/** The live rows that taught the model most of a row of the probe. */
interface TaughtBy {
  layer: string;
  /** updates that the scores are a sum over */
  checkpoints: number;
  proponents: TaughtRow[];
  opponents: TaughtRow[];
}

interface Run extends Omit<Card, "epochs" | "probe" | "alerts"> {
  epochs: number[];
  /** of a run that counts in steps: the epoch of each update, and the updates at which an epoch ended */
  epoch_of: number[];
  ends: number[];
  wall_times: number[];
  learning_rate: (number | null)[];
  logs: string[];
  cost: number | null;
  cost_once: number;
  /** whether it was recorded which live rows taught the model */
  influence: boolean;
  not_finite_since: number | null;
  notes: { epoch: number | null; moment: string; text: string; stopped: boolean }[];
  stops: Record<string, string>;
  passed_over: Record<string, string>;
  alerts: AlertRecord[];
  methods: Method[];
  opens_with: string;
  variables: string[];
  layers: string[];
  gradient_epochs: number[];
  has_critical_step: boolean;
  probe: ProbeInfo | null;
  /** of a gallery that changes: its rule, and how many rows it chose at each update */
  chosen: { rule: string; epochs: number[]; counts: number[] } | null;
  sources: Partial<Record<Source, SourceInfo>>;
}

interface Fact {
  value: string;
  was: string;
  note: string;
  alarm: boolean;
}

interface Summary {
  sentence: string;
  detail: string;
  facts: Fact[];
  alarm: boolean;
  before: number;
  /** that moved, or the most important one; "" without an importance */
  feature: string;
  faults: string[];
  watch: string;
  health: string;
  /** the critical step in a sentence */
  pace: string;
  /** the sentence is that of a shortcut of the training rows */
  gap: boolean;
  advice: string;
  /** rules of TrainingChecks that are broken, with what to do */
  checks: string[];
  /** those that could not be judged, and why */
  unjudged: string;
  /** of the data at train begin */
  screen: string;
}

interface ScaleInfo {
  map: ColourMap;
  low: string;
  high: string;
}

/** What a figure says of itself beside its traces. */
interface FigureMeta {
  title?: string;
  reading?: string;
  /** what it says of this run, above the reading */
  sentences?: string[];
  scale?: ScaleInfo;
  /** of a long run: at so many of its epochs ranks are drawn */
  anchors?: number | null;
  /** how many rows of bars it has */
  bars?: number;
  /** of several maps */
  scales?: ScaleInfo[];
  /** why there is nothing to draw */
  absent?: string;
  /** the figure is a heat map over epochs */
  cells?: boolean;
  /** "row": the epochs stand along the rows */
  by?: string;
  /** what each row stands for: names, or epochs */
  rows?: any[];
  labels?: string[];
  /** its lines are named where they end: it needs no legend */
  labelled?: boolean;
  /** what its values are called in a table: along its axes, and those of its cells */
  columns?: { x?: string; y?: string; z?: string };
  /** its numbers are fewer or less exact than what was recorded */
  coarse?: boolean;
  /** its numbers, where its traces do not hold them as they are */
  table?: NumberTable;
}

/** A plotly figure. Traces and layout are plotly's own, and are handed on as they are. */
interface Figure {
  data: Record<string, any>[];
  layout: Record<string, any> & { meta?: FigureMeta };
}

interface Importance extends Framed {
  names: string[];
  epochs: number[];
  /** (E, F) */
  share: FloatTensor;
}

interface Inputs extends Framed {
  kind: Kind;
  /** of the probe, and their true classes; null in an older file, and where they are not known */
  rows: number[] | null;
  labels: number[] | null;
  names: string[];
  feature_names: string[] | null;
  columns: string[][];
  categories: (string[] | null)[][];
  words?: string[][];
  /** slices of the inputs that are volumes, whose slices are rows of their own */
  depth: Record<string, number>;
  [array: `x${number}`]: ByteTensor;
}

/** What the model says of the gallery; the arrays are (E, B). */
interface Outputs extends Framed {
  epochs: number[];
  /** of a very long run not all updates are here; each can be asked for by itself */
  thinned?: boolean;
  task: string;
  percent: boolean;
  classes: boolean;
  targets: Record<number, string>;
  large_error: number;
  target: IntTensor;
  prediction: FloatTensor;
  shown: FloatTensor;
  trajectory: FloatTensor;
  score: FloatTensor;
  /** the score of the baseline; NaN without one */
  baseline: FloatTensor;
  loss: FloatTensor;
  /** of a number that is predicted; NaN of other outputs */
  truth: FloatTensor;
  /** (E, B, K) probabilities, or raw outputs */
  outputs?: FloatTensor;
  /** of rows that a rule chose: their numbers in the probe, and their true classes where these are known */
  rows?: number[];
  labels?: number[] | null;
  completeness_error?: FloatTensor;
  r2?: FloatTensor;
}

/** Maps of one method at one epoch, (B, …) for each input. */
interface AttributionMaps extends Framed {
  epoch: number;
  method: string;
  /** the sides of maps that come as means */
  whole?: Record<string, number[]>;
  /** slices of the maps of volumes, whose slices are rows of their own */
  depth?: Record<string, number>;
  [maps: `v${number}`]: MapTensor;
  [counts: `counts${number}`]: IntTensor;
  [ends: `ends${number}`]: FloatTensor;
}

interface FilmStrip extends Framed {
  epochs: number[];
  maps: FloatTensor;
}

/** The gallery's samples of one class in clusters of their maps. */
interface ClassClusters {
  name: string;
  clusters: number[][];
  /** why there are none */
  absent: string;
}

interface Suspect {
  row: number;
  quality: number;
  confidence: number;
  /** null in runs of an older version, and of dense outputs */
  support: number | null;
  label: number;
  prediction: number;
}

/** One layer's map over epochs. */
interface LayerMap extends Framed {
  epochs: number[];
  read: boolean[];
  layers: string[];
  layer: string;
  classes: string[];
  colours: Record<Theme, string[]>;
  gallery: number[];
  /** what a position of a dense output is; "" where there is one answer a sample */
  unit: string;
  suspects: Suspect[];
  /** rows beside the gallery whose inputs were written */
  stored: number[];
  /** (E, B, 2) */
  places: FloatTensor;
  prediction?: IntTensor;
  label?: IntTensor;
  held_out?: ByteTensor;
}

/** A cell of a confusion matrix: the numbers of its classes. */
interface Cell {
  true: number;
  predicted: number;
}

interface ConfusionMatrix {
  classes: number[];
  counts: number[][];
  /** of the true class */
  shares: number[][];
}

/** The predictions for the rows of the probe at one update. Arrays are (B), or (B, K) of several labels or numbers a row. */
interface Predictions extends Framed {
  epoch: number | null;
  /** why there are none; all else is then missing */
  absent?: string;
  sentence: string;
  finite: boolean;
  answer: "class" | "labels" | "value";
  /** one of two classes is predicted */
  binary: boolean;
  classes: number;
  size: number;
  /** what a position of a dense output is; "" where there is one answer a row */
  unit: string;
  /** the output of several that is explained */
  shown: number;
  /** of classes, labels or outputs that occur, by their numbers */
  names: Record<number, string>;
  /** one, or one a label */
  matrices: (ConfusionMatrix | null)[];
  confusions: (Cell & { count: number })[];
  metrics: { index: number; precision: number | null; recall: number | null; f1: number | null; support: number }[];
  /** of a probe without labels */
  predicted: { index: number; count: number; certainty: number }[];
  errors: { rmse: number | null; mae: number | null; r2: number | null; count: number }[];
  slices: {
    slice: string;
    value: string;
    rows: number;
    accuracy: number | null;
    confidence: number | null;
    loss: number | null;
  }[];
  /** rows of the probe that the gallery shows, in its order */
  gallery: number[];
  /** whether the probe is stored */
  stored: boolean;
  row?: IntTensor;
  prediction?: IntTensor | FloatTensor;
  true?: IntTensor | FloatTensor;
  probability?: FloatTensor;
  true_probability?: FloatTensor;
  loss?: FloatTensor;
  right?: FloatTensor;
}

interface ThemeColours {
  tokens: Record<string, string>;
  runs: string[];
  maps: Record<ColourMap, string[]>;
}

/** Words that Python and JavaScript both print: `keras_xai.analysis.vocabulary`. */
interface Vocabulary {
  views: Record<string, string>;
  sources: Record<AlertSource, string>;
  verdicts: Record<Verdict, string>;
  statistics: Record<string, string>;
  help: Record<string, PanelHelp>;
  /** what `run.figure` draws */
  figures: string[];
}

/** `PanelHelp` of `keras_xai.analysis.panel_help`. */
interface PanelHelp {
  term: string;
  what: string;
  good: string;
  bad: string;
  page: string;
}

interface Presentation extends Record<Theme, ThemeColours> {
  /** of the lines of runs, one for each turn of their colours */
  dashes: string[];
  vocabulary: Vocabulary;
}

/** The answer of each route. */
interface Answers {
  index: Index;
  run: Run;
  rows: RunRow[];
  summary: Summary;
  figure: Figure;
  importance: Importance;
  inputs: Inputs;
  outputs: Outputs;
  attribution: AttributionMaps;
  film: FilmStrip;
  clusters: ClassClusters;
  mapping: LayerMap;
  predictions: Predictions;
  influence: TaughtBy;
  theme: Presentation;
}

type Query = Record<string, string | number | undefined | null | (string | number)[]>;

// What the modules hand to each other.

/** What a view needs to know for one drawing. */
interface Context {
  server: import("./core/api.js").Server;
  charts: import("./core/chart.js").Charts;
  vocabulary: Vocabulary;
  cards: Card[];
  card: Card;
  name: string;
  run: Run | undefined;
  /** names of the runs that are laid over each other */
  picked: string[];
  /** the place of a run among those ever seen, which is its colour */
  place: (name: string) => number;
  stampOf: (name: string) => string;
  figureStamp: string;
  theme: Theme;
  /** pixels of height that a chart may have more in a tall window */
  spare: number;
  /** the number of the update that is shown; where a view has none of before training, it is the first */
  epoch: number | null;
  /** where the slider stands: as above, or before training */
  stop: number | null;
  /** seconds since 1970, by the server's clock */
  now: number;
  /** names of picked runs that cannot be laid over this one: they count in another unit */
  apart: string[];
  /** how many ticked runs are not drawn, since they are too many */
  undrawn: number;
}
/** The context of a run that was read and has epochs. */
type RunContext = Context & { run: Run; epoch: number };

/** A tab. It owns what it keeps between two drawings. */
interface View {
  /** Everything that decides which settings there are. */
  settingsKey(context: RunContext): string;
  settings(context: RunContext, rail: import("./core/controls.js").SettingsRail): HTMLElement[];
  /** Asks the server for what `draw` will read. */
  load(context: RunContext): void;
  draw(root: HTMLElement, context: RunContext): void;
  /** Shows another epoch without drawing anew, and says whether that was enough. */
  step(context: RunContext): boolean;
  /** Whether it shows all runs: then it is drawn whatever the one in focus has recorded. */
  ofRuns?: boolean;
}

/** Numbers as a table of named columns, in full: what a CSV file is made of. A null is an empty cell. */
interface NumberTable {
  columns: string[];
  rows: (string | number | null)[][];
}

/** A file that the server makes: the words of its entry in the menu, its address, and how its name ends. */
interface ServerFile {
  title: string;
  route: string;
  parameters: Query;
  suffix: string;
}

/** What a panel says of itself beside what it shows. */
interface PanelAbout {
  /** the name of its help in `keras_xai.analysis.panel_help` */
  help?: string;
  /** the name of its files, by default that of its help, else its title */
  file?: string;
  /** at the right of its title */
  note?: Child;
  /** its numbers, called when somebody takes them out; by default those of its charts */
  csv?: () => NumberTable | Promise<NumberTable>;
  /** further files of the server */
  files?: () => ServerFile[];
  /** the figure of the notebook that draws it; by default its first chart, else the figure of the view */
  figure?: Query & { name: string };
}

type Child = Node | string | number | false | null | undefined | Child[];

/** The part of plotly that is called. */
interface PlotlyLibrary {
  react(node: HTMLElement, data: object[], layout: object, config: object): Promise<unknown>;
  purge(node: HTMLElement): void;
  toImage(figure: object, options: object): Promise<string>;
}
interface Window {
  Plotly?: PlotlyLibrary;
}
