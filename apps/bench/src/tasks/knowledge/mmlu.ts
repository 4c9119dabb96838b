/** MMLU (arXiv 2009.03300): 57 subjects, five examples; its figure is the accuracy over all questions. */
import { meanScore } from "../task.ts";
import { knowledgeTask } from "./choice-task.ts";
import { letters } from "./questions.ts";

export const mmlu = knowledgeTask({
  name: "mmlu",
  title: "Exam questions of 57 subjects, English",
  files: {
    task: "mmlu",
    names: ["test", "test.jsonl"],
    fixture: "knowledge/mmlu",
    from: "MMLU's data.tar, https://people.eecs.berkeley.edu/~hendrycks/data.tar",
    fields: "a folder with test/<subject>_test.csv and dev/<subject>_dev.csv (question, A, B, C, D, answer, without a heading), or test.jsonl and dev.jsonl with subject, question, choices and answer",
    splits: { questions: "test", examples: "dev" },
    columns: ["question", ...letters, "answer"],
  },
  // Two spaces before the subject: the authors' script has them, and so has every figure made with it.
  heading: (subject) => `The following are multiple choice questions (with answers) about  ${subject.replaceAll("_", " ")}.\n\n`,
  ask: ({ question, choices }) => `${question}\n${choices.map((choice, at) => `${letters[at]}. ${choice}\n`).join("")}Answer:`,
  beforeLetter: " ",
  aggregate: meanScore,
});
