import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { promptIds } from "../task.ts";
import { options, wordTokenizer } from "../testing.ts";
import { aime } from "./aime.ts";
import { lastBoxed } from "./boxed.ts";
import { math500 } from "./math500.ts";

const data = { kind: "fixture" } as const;

it.each([
  ["so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"],
  ["\\boxed{1} no, \\boxed{ \\{1, 2\\} }", "\\{1, 2\\}"],
  ["$\\boxed 7$", "7"],
  ["\\fbox{3}", "3"],
  ["\\boxed{5} and \\boxed{never closed", "5"],
  ["the answer is 7", undefined],
  ["\\boxedness", undefined],
])("finds the last boxed answer of %j", (text, answer) => expect(lastBoxed(text)).toBe(answer));

it("asks for a boxed answer and compares it as mathematics", async () => {
  const samples = await math500.open(options({ data, count: 100 }));
  const sample = samples.at(0);
  expect(sample.prompt.text.endsWith("\n\nPlease reason step by step, and put your final answer within \\boxed{}.")).toBe(true);
  expect(sample.facts).toMatchObject({ subject: "Algebra", level: "2" });
  expect(await math500.score(sample, "We get \\boxed{\\dfrac{3}{2\\sqrt2}}", {})).toMatchObject({ value: 1 });
  expect(await math500.score(sample, "We get \\boxed{\\frac{3}{4}}", {})).toMatchObject({ value: 0 });
  expect(await math500.score(sample, "It is \\frac{3\\sqrt{2}}{4}.", {})).toEqual({ value: 0, details: { answer: null } });
});

it("reads AIME's answers as text or numbers, with leading zeros", async () => {
  const samples = await aime.open(options({ data, count: 100 }));
  expect(await aime.score(samples.at(2), "\\boxed{73}", {})).toMatchObject({ value: 1 });
  expect(await aime.score(samples.at(1), "\\boxed{001}", {})).toMatchObject({ value: 1 });
  expect(await aime.score(samples.at(1), "\\boxed{10}", {})).toMatchObject({ value: 0 });
});

it("reads AIME's copies, whatever they call the problem", async () => {
  const folder = await mkdtemp(join(tmpdir(), "aime-"));
  const rows = [{ problem: "1+1?", answer: "2", id: 7 }, { question: "1+2?", answer: "3" }, { ID: "2024-I-1", Problem: "1+3?", Answer: 4 }];
  await writeFile(join(folder, "aime2025-I.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  const samples = await aime.open(options({ data: { kind: "path", path: folder } }));
  await rm(folder, { recursive: true });
  expect([0, 1, 2].map((index) => samples.at(index)).map(({ id, prompt, expected }) => [id, prompt.text.slice(0, 4), expected])).toEqual([
    ["7", "1+1?", ["2"]], ["1", "1+2?", ["3"]], ["2024-I-1", "1+3?", ["4"]],
  ]);
});

it("lets answers fill the length, and refuses problems that leave no room", async () => {
  const tokenizer = wordTokenizer();
  const sample = (await aime.open(options({ data, tokenizer, length: 200 }))).at(0);
  expect(promptIds(tokenizer, sample.prompt).length + sample.maxTokens).toBe(200);
  const tooShort = await aime.open(options({ data, tokenizer, length: 10 }));
  expect(() => tooShort.at(0)).toThrow(/leave no room for an answer within 10/);
});

it("names file, line and field of bad rows, and where missing data comes from", async () => {
  const folder = await mkdtemp(join(tmpdir(), "math-"));
  const path = join(folder, "aime.jsonl");
  await writeFile(path, '{"problem":"1+1?","answer":"2"}\n{"problem":"1+1?","answer":null}\n');
  await expect(aime.open(options({ data: { kind: "path", path: folder } }))).rejects.toThrow(/aime\.jsonl, line 2 has null in the field "answer"; expected a string or a number/);
  await rm(folder, { recursive: true });
  await expect(math500.open(options())).rejects.toThrow(/HuggingFaceH4\/MATH-500.*problem, answer/);
});
