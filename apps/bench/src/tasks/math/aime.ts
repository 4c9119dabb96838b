/** AIME: the American Invitational Mathematics Examination; 15 problems a paper, answers are whole numbers from 0 to 999. */
import { problemTask } from "./problem-task.ts";

export const aime = problemTask({
  name: "aime",
  title: "AIME problems, answers 0 to 999",
  maxTokens: 32_768,
  file: {
    task: "aime",
    names: ["aime.jsonl", "aime2024.jsonl", "aime2025.jsonl", "test.jsonl"],
    fixture: "reasoning/aime.jsonl",
    from: "a year's problems as JSON Lines, e.g. https://huggingface.co/datasets/HuggingFaceH4/aime_2024 or https://huggingface.co/datasets/math-ai/aime25",
    fields: "one JSON object a line with problem and answer (also Problem and Answer), and an id where there is one",
  },
  problemOf(row, number) {
    const capital = row.has("Problem");
    const id = ["id", "ID"].find((field) => row.has(field));
    return {
      id: id === undefined ? String(number) : row.textOrNumber(id),
      problem: row.text(capital ? "Problem" : "problem"),
      answer: row.textOrNumber(capital ? "Answer" : "answer"),
      facts: {},
    };
  },
});
