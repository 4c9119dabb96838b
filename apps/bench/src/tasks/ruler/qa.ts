/** RULER's question answering: the documents that answer a question among others of the data set (paper, section 3.4). */
import type { Random } from "@infllm/tensor";
import { readData } from "../data/files.ts";
import { chooseRows } from "../data/row-samples.ts";
import { sample, shuffled } from "../synthetic/draw.ts";
import { syntheticSamples } from "../synthetic/synthetic.ts";
import type { Draft } from "../synthetic/synthetic.ts";
import { meanScore } from "../task.ts";
import type { DataFile, GenerationTask } from "../task.ts";
import { readHotpot, readSquad } from "./qa-data.ts";
import type { DocumentSet, Question } from "./qa-data.ts";
import { matchPart } from "./score.ts";
import { questionAnswering as wording } from "./templates.ts";

const maxTokens = 32;
const styles = ["benchmark"] as const;

const squadFile: DataFile = {
  task: "qa_1",
  names: ["squad.json", "dev-v2.0.json"],
  fixture: "ruler/squad.json",
  from: "SQuAD 2.0's dev set, https://rajpurkar.github.io/SQuAD-explorer/dataset/dev-v2.0.json",
  fields: "a JSON object whose data[].paragraphs[] have context and qas[] with question, answers[].text and is_impossible",
};

const hotpotFile: DataFile = {
  task: "qa_2",
  names: ["hotpotqa.json", "hotpot_dev_distractor_v1.json"],
  fixture: "ruler/hotpotqa.json",
  from: "HotpotQA's dev set with distractors, http://curtis.ml.cmu.edu/datasets/hotpot/hotpot_dev_distractor_v1.json",
  fields: "a JSON list of objects with question, answer and context, a list of [title, [sentence, …]]",
};

function qaTask(file: DataFile, title: string, parse: (text: string, path: string) => DocumentSet): GenerationTask {
  const task = { name: file.task, maxTokens, styles };
  return {
    kind: "generation",
    name: file.task,
    family: "ruler",
    title,
    metric: "string match (part)",
    styles,
    reads: file,
    aggregate: meanScore,
    score: matchPart,
    /** Without data the fixture is used, and `source` says so. */
    async open(options) {
      const { text, path, source } = await readData(file, options.data ?? { kind: "fixture" });
      const { questions, documents } = parse(text, path);
      const rows = chooseRows(file.task, questions.length, options);
      const samples = syntheticSamples(task, { ...options, count: rows.length }, (from, number) =>
        draft(from, questions[rows[number - (options.first ?? 0)] ?? 0] as Question, documents),
      );
      return { ...samples, source };
    },
  };
}

function draft(from: Random, { question, answers, needed, related }: Question, documents: readonly string[]): Draft {
  const used = new Set([...needed, ...related]);
  const rest = documents.map((_, index) => index).filter((index) => !used.has(index));
  // Paragraphs of the same article come first, as in RULER, then others; all again when the length asks for more.
  const order = [...needed, ...shuffled(from, related), ...sample(from, rest, rest.length)];
  return {
    expected: answers,
    minimum: needed.length,
    prompt(size, layout) {
      const chosen = Array.from({ length: size }, (_, at) => documents[order[at % order.length] as number] as string);
      const context = shuffled(layout, chosen).map((text, at) => wording.document(at + 1, text)).join("\n\n");
      return { form: "chat", text: wording.text(context, question), answerPrefix: wording.answerPrefix };
    },
  };
}

export const qaTasks: readonly GenerationTask[] = [
  qaTask(squadFile, "SQuAD questions among other paragraphs", readSquad),
  qaTask(hotpotFile, "HotpotQA questions, two documents needed, among others", readHotpot),
];
