/** C-Eval (arXiv 2305.08322): 52 subjects in Chinese, five examples; its figure is the mean of the subjects' accuracies. */
import subjects from "../../../data/ceval-subjects.json";
import { meanOfSubjects } from "../task.ts";
import { knowledgeTask } from "./choice-task.ts";
import { letters } from "./questions.ts";

const names: Readonly<Record<string, string>> = subjects;

export const ceval = knowledgeTask({
  name: "ceval",
  title: "Exam questions of 52 subjects, Chinese (validation split, which has answers)",
  files: {
    task: "ceval",
    names: ["val", "val.jsonl"],
    fixture: "knowledge/ceval",
    from: "C-Eval's ceval-exam.zip, https://huggingface.co/datasets/ceval/ceval-exam",
    fields: "a folder with val/<subject>_val.csv and dev/<subject>_dev.csv (a heading with question, A, B, C, D, answer), or val.jsonl and dev.jsonl with subject, question, choices and answer",
    splits: { questions: "val", examples: "dev" },
  },
  heading: (subject) => `以下是中国关于${names[subject] ?? subject}考试的单项选择题，请选出其中的正确答案。\n\n`,
  ask: ({ question, choices }) => `${question}\n${choices.map((choice, at) => `${letters[at]}. ${choice}\n`).join("")}答案：`,
  beforeLetter: "",
  aggregate: meanOfSubjects,
});
