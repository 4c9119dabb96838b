/** AIME: the American Invitational Mathematics Examination; 15 problems a paper, answers are whole numbers from 0 to 999. */
import { problemTask } from "./problem-task.ts";

export const aime = problemTask({
  name: "aime",
  title: "AIME problems, answers 0 to 999",
  maxTokens: 32_768,
  file: {
    task: "aime",
    names: ["aime.jsonl", "aime2024.jsonl", "aime2025.jsonl", "aime2025-I.jsonl", "aime2025-II.jsonl", "test.jsonl"],
    fixture: "reasoning/aime.jsonl",
    from: "a year's problems as JSON Lines, e.g. https://huggingface.co/datasets/HuggingFaceH4/aime_2024 or https://huggingface.co/datasets/math-ai/aime25",
    fields: "one JSON object a line with problem (or question) and answer, also with capitals, and an id where there is one",
  },
  problemOf(row, number) {
    // As the published copies name them.
    const named = (...names: readonly string[]): string | undefined => names.find((name) => row.has(name));
    const id = named("id", "ID");
    return {
      id: id === undefined ? String(number) : row.textOrNumber(id),
      problem: row.text(named("problem", "Problem", "question", "Question") ?? "problem"),
      answer: row.textOrNumber(named("answer", "Answer") ?? "answer"),
      facts: {},
    };
  },
});
