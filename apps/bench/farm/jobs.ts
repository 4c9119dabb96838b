/** The quality suites of the first results as jobs for many processes, what matters most first. */
import { methodNames } from "@infllm/attention/methods";
import { selectTasks } from "../src/tasks/registry.ts";

/** One run of `infllm-bench` in a results folder of its own. */
export interface Job {
  readonly name: string;
  readonly suite: string;
  readonly args: readonly string[];
  readonly threads: number;
  /** Guess of processor seconds, of one core of an AMD EPYC of 2024. */
  readonly seconds: number;
  /** Guess of those until the first cell is finished; what follows can be taken up later. */
  readonly firstCell: number;
  /** Whether cells of its own that are finished are among those that it would run: it must be shown them. */
  readonly resumes: boolean;
}

/** A part of the samples of one cell. */
export interface CellPart {
  readonly task: string;
  readonly length: number;
  readonly method: string;
  readonly samples: number;
  readonly from: number;
}

export interface JobOptions {
  readonly lengths: readonly number[];
  /** Threads that one job may have at most. */
  readonly mostThreads: number;
  /** Whether these samples of a cell have their line. */
  isDone(suite: string, part: CellPart): boolean;
}

const methods = methodNames.filter((name) => name !== "nsa");
const rulerTasks = selectTasks(["ruler"]).filter(({ styles }) => styles.includes("tiny")).map(({ name }) => name);
/** Jobs of several cells end within about this, in seconds of a process. */
const usualSeconds = 100;

/** Node, the weights, and the text on which MInference looks for its patterns. */
const start = (method: string): number => (method === "minference" ? 40 : 2);

/** Measured seconds of a 16k prompt in one thread, beside 14 others: what grows with the length, and with its square. */
const prompt16k: Readonly<Record<string, readonly [linear: number, square: number]>> = {
  full: [12, 150], yarn: [12, 150], "infllm-v2": [43, 3], "infllm-v2-exact": [43, 8], "sliding-window": [49, 0], "infllm-v1": [75, 0], minference: [100, 0],
};

function sampleSeconds(method: string, length: number): number {
  const [linear, square] = prompt16k[method] ?? [100, 100];
  const share = length / 16_384;
  return 1 + linear * share + square * share ** 2;
}

/** Samples `[from, to)` of each round, by the least length that they are for. */
const rounds: readonly (readonly (readonly [length: number, from: number, to: number])[])[] = [
  [[0, 0, 2], [12_000, 0, 1]],
  [[0, 2, 10], [6000, 2, 4], [12_000, 1, 2]],
  [[0, 10, 10], [6000, 4, 7], [12_000, 2, 3]],
  [[0, 10, 10], [6000, 7, 10], [12_000, 3, 5]],
  [[0, 10, 10], [6000, 10, 10], [12_000, 5, 10]],
];
/** One sample for each depth. */
const needleSamples = 11;

export function jobs(options: JobOptions): Job[] {
  const { lengths } = options;
  const longestFirst = (some: readonly Job[]): Job[] => [...some].sort((a, b) => b.seconds / b.threads - a.seconds / a.threads);
  const rulerRounds = rounds.map((round) => lengths.flatMap((length) => methods.flatMap((method) => rulerJobs(length, method, round, options))));
  const needles = (some: readonly string[]): Job[] => lengths.flatMap((length) => some.flatMap((method) => needleJobs(length, method, options)));
  const [first = [], second = [], ...more] = rulerRounds;
  return [
    ...longestFirst(lengths.flatMap((length) => wholeTexts(length, options))),
    ...longestFirst(first),
    ...longestFirst([...needles(["full", "infllm-v2"]), ...answers(lengths)]),
    ...longestFirst(second),
    ...longestFirst(needles(methods.filter((method) => !["full", "infllm-v2"].includes(method)))),
    ...more.flatMap(longestFirst),
  ];
}

function rulerJobs(length: number, method: string, round: readonly (readonly [number, number, number])[], { isDone }: JobOptions): Job[] {
  const [, from, to] = round.filter(([least]) => length >= least).at(-1) ?? [0, 0, 0];
  if (to <= from) return [];
  const part = { length, method, samples: to - from, from };
  const tasks = rulerTasks.filter((task) => !isDone("ruler", { ...part, task }));
  const cell = part.samples * sampleSeconds(method, length);
  const together = usualSeconds + 2 * start(method);
  return pieces(tasks, Math.max(1, Math.floor(together / cell))).map((some) => shared("ruler", part, some, cell));
}

function needleJobs(length: number, method: string, { isDone }: JobOptions): Job[] {
  const samples = Math.max(1, Math.min(needleSamples, Math.floor(usualSeconds / sampleSeconds(method, length))));
  const parts = Array.from({ length: Math.ceil(needleSamples / samples) }, (_, piece): CellPart => {
    const from = piece * samples;
    return { task: "needle", length, method, samples: Math.min(samples, needleSamples - from), from };
  });
  return parts.filter((part) => !isDone("needle", part)).map((part) => shared("needle", part, ["needle"], part.samples * sampleSeconds(method, length)));
}

function shared(suite: "ruler" | "needle", part: Omit<CellPart, "task">, tasks: readonly string[], cellSeconds: number): Job {
  const { length, method, samples, from } = part;
  const named = suite === "ruler" ? ["--tasks", tasks.join(",")] : [];
  return {
    name: `${suite} ${length} ${method} ${from}-${from + samples - 1} ${tasks.join("+")}`,
    suite,
    args: [suite, ...named, "--lengths", String(length), "--methods", method, "--samples", String(samples), "--from-sample", String(from)],
    threads: 1,
    seconds: start(method) + tasks.length * cellSeconds,
    firstCell: start(method) + cellSeconds,
    resumes: false,
  };
}

/** Perplexity and agreement: every method on the same texts, so that what full attention says of them is computed once. */
function wholeTexts(length: number, { mostThreads }: JobOptions): Job[] {
  const texts = 2;
  const threads = Math.min(mostThreads, length > 12_000 ? 5 : length > 6000 ? 2 : 1);
  const all = methods.reduce((sum, method) => sum + sampleSeconds(method, length), 0);
  const full = sampleSeconds("full", length);
  const job = (name: string, args: readonly string[], seconds: number): Job => ({
    name: `${name} ${length}`, suite: name, args: [name, "--lengths", String(length), "--texts", String(texts), ...args], threads, seconds, firstCell: 4 * full, resumes: true,
  });
  return [
    job("perplexity", ["--short", String(Math.min(1024, length / 4))], texts * (all + 1.3 * full)),
    job("agreement", ["--positions", "512", "--pairs", "32"], texts * (all + 0.5 * full + 60)),
  ];
}

function answers(lengths: readonly number[]): Job[] {
  return lengths.filter((length) => length > 2048).flatMap((length) => rulerTasks.map((task): Job => {
    const samples = length > 12_000 ? 1 : 2;
    const seconds = 2 + samples * (sampleSeconds("full", length) + 20);
    return {
      name: `answers ${length} ${task}`, suite: "agreement", threads: 1, seconds, firstCell: seconds, resumes: true,
      args: ["agreement", "--measures", "answers", "--tasks", task, "--samples", String(samples), "--lengths", String(length)],
    };
  }));
}

function pieces<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
