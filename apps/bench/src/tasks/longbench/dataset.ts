/** One data set of LongBench (arXiv 2308.14508): rows with a context, a question and answers, one prompt and one metric. */
import { ShapeError } from "@infllm/tensor";
import { readRows, rowSamples } from "../data/row-samples.ts";
import type { Row } from "../data/row.ts";
import { meanScore, promptIds } from "../task.ts";
import type { DataFile, GenerationSample, GenerationTask, Score, TaskPrompt, TaskTokenizer } from "../task.ts";
import { metrics } from "./metrics/index.ts";
import type { MetricName } from "./metrics/index.ts";

/** An entry of `data/longbench.json`. */
export interface DatasetConfig {
  readonly title: string;
  readonly metric: MetricName;
  readonly maxTokens: number;
  /** Whether the prompt is a chat message; LongBench gives examples and code as plain text. */
  readonly chat: boolean;
  /** Whether only the first line of an output counts. */
  readonly firstLine: boolean;
  /** Text with `{context}` and `{input}`. */
  readonly prompt: string;
}

export function datasetTask(name: string, config: DatasetConfig): GenerationTask {
  const file: DataFile = {
    task: name,
    names: [`${name}.jsonl`, `${name}.jsonl.gz`, `data/${name}.jsonl`],
    fixture: `longbench/${name}.jsonl`,
    from: "LongBench's data.zip, https://huggingface.co/datasets/THUDM/LongBench",
    fields: "one JSON object a line with input, context, answers (list), all_classes (list or null), length and _id",
  };
  const { title, measure } = metrics[config.metric];
  const styles = ["benchmark"] as const;
  return {
    kind: "generation",
    name,
    family: "longbench",
    title: config.title,
    metric: title,
    styles,
    reads: file,
    aggregate: meanScore,
    open(options) {
      const load = () => readRows(file, options.data, checkedRow);
      return rowSamples({ name, styles }, options, load, (row, number, length) => rowSample(name, config, row, number, options.tokenizer, length));
    },
    /** The best of the metric over the row's answers. */
    async score({ expected, facts }, output): Promise<Score> {
      const read = config.firstLine ? (output.replace(/^\n+/, "").split("\n")[0] ?? "") : output;
      const classes = (facts["classes"] as readonly string[] | undefined) ?? [];
      const values = await Promise.all(expected.map((answer) => measure(read, answer, classes)));
      return { value: Math.max(...values), details: { best: values.indexOf(Math.max(...values)) } };
    },
  };
}

/** A row with all that samples will need. @throws FormatError */
function checkedRow(row: Row): Row {
  row.text("input");
  row.text("context");
  answersOf(row);
  return row;
}

function answersOf(row: Row): string[] {
  return row.texts("answers", 1);
}

function rowSample(name: string, config: DatasetConfig, row: Row, number: number, tokenizer: TaskTokenizer, length: number): GenerationSample {
  // Context and question may hold braces themselves, so both are put in at once.
  const text = config.prompt.replace(/\{(context|input)\}/g, (_, field: string) => row.text(field));
  const prompt: TaskPrompt = { form: config.chat ? "chat" : "plain", text };
  const fitted = cutMiddle(name, tokenizer, prompt, length - config.maxTokens);
  const classes = row.has("all_classes") ? { classes: row.texts("all_classes") } : {};
  const words = row.has("length") ? { words: row.number("length") } : {};
  return {
    id: row.optionalText("_id") ?? String(number),
    prompt: fitted,
    maxTokens: config.maxTokens,
    stop: [],
    expected: answersOf(row),
    facts: { promptTokens: promptIds(tokenizer, fitted).length, cut: fitted !== prompt, ...words, ...classes },
  };
}

/** The prompt with the middle of its text cut out where it has too many tokens, as LongBench cuts it. */
function cutMiddle(name: string, tokenizer: TaskTokenizer, prompt: TaskPrompt, limit: number): TaskPrompt {
  if (promptIds(tokenizer, prompt).length <= limit) return prompt;
  const ids = tokenizer.encode(prompt.text, { special: false });
  let keep = limit - promptIds(tokenizer, { ...prompt, text: "" }).length;
  // Texts joined at the cut may need a few tokens more than their halves had.
  while (keep > 1) {
    const half = Math.floor(keep / 2);
    const cut = { ...prompt, text: tokenizer.decode(ids.slice(0, half)) + tokenizer.decode(ids.slice(-half)) };
    const excess = promptIds(tokenizer, cut).length - limit;
    if (excess <= 0) return cut;
    keep -= excess;
  }
  throw new ShapeError(`${name} leaves no room for a prompt: ${limit} tokens beside its answer. Give a larger length.`);
}
