/** MATH-500: 500 problems of MATH (arXiv 2103.03874), chosen by "Let's Verify Step by Step" (arXiv 2305.20050). */
import { problemTask } from "./problem-task.ts";

export const math500 = problemTask({
  name: "math500",
  title: "Competition mathematics of five levels",
  maxTokens: 16_384,
  file: {
    task: "math500",
    names: ["math500.jsonl", "test.jsonl"],
    fixture: "reasoning/math500.jsonl",
    from: "test.jsonl of https://huggingface.co/datasets/HuggingFaceH4/MATH-500",
    fields: "one JSON object a line with problem, answer, subject, level and unique_id",
  },
  problemOf: (row, number) => ({
    id: row.optionalText("unique_id") ?? String(number),
    problem: row.text("problem"),
    answer: row.text("answer"),
    facts: {
      ...(row.has("subject") ? { subject: row.text("subject") } : {}),
      ...(row.has("level") ? { level: row.textOrNumber("level") } : {}),
    },
  }),
});
