import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findTask } from "../registry.ts";
import { promptIds } from "../task.ts";
import type { GenerationTask, TaskOptions } from "../task.ts";
import { options, tinyTokenizer } from "../testing.ts";
import { longbenchTasks } from "./index.ts";

const fixture = { kind: "fixture" } as const;
const open = (name: string, given: Partial<TaskOptions> = {}) => (findTask(name) as GenerationTask).open(options({ data: fixture, ...given }));

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "longbench-"))));
afterAll(() => rm(folder, { recursive: true }));
const save = async (name: string, text: string) => {
  const path = join(folder, name);
  await writeFile(path, text);
  return { kind: "path", path } as const;
};

describe.each(longbenchTasks as readonly GenerationTask[])("$name", (task) => {
  it("reads its fixture, fills its prompt and scores a right answer 1 and a wrong one below", async () => {
    const samples = await task.open(options({ data: fixture }));
    expect(samples.source).toBe("fixture");
    const sample = samples.at(0);
    expect(sample.prompt.text).not.toMatch(/\{context\}|\{input\}/);
    // ROUGE-L of a text to itself is 1 less the package's 1e-8.
    expect((await task.score(sample, sample.expected[0] as string, {})).value).toBeCloseTo(1, 6);
    expect((await task.score(sample, "¿", {})).value).toBeLessThan(0.5);
  });
});

it("has the 21 data sets", () => expect(longbenchTasks).toHaveLength(21));

it("takes the best of several answers, and the first line where examples were shown", async () => {
  const story = findTask("narrativeqa") as GenerationTask;
  expect(await story.score((await open("narrativeqa")).at(0), "Engineer Ida Falk", {})).toMatchObject({ value: 1, details: { best: 1 } });
  const trec = findTask("trec") as GenerationTask;
  const sample = (await open("trec")).at(0);
  expect(await trec.score(sample, "\nIndividual\nQuestion: Where?\nType: Date", {})).toMatchObject({ value: 1 });
  expect(sample.prompt.form).toBe("plain");
});

it("cuts the middle out of prompts that are too long, and never exceeds the length", async () => {
  const tokenizer = await tinyTokenizer();
  const context = `START ${"long ".repeat(3000)}END`;
  const data = await save("qasper.jsonl", JSON.stringify({ input: "Why?", context, answers: ["no"], all_classes: null, length: 3002, _id: "x" }));
  const { prompt, maxTokens, facts } = (await open("qasper", { tokenizer, data, length: 1024 })).at(0);
  const used = promptIds(tokenizer, prompt).length + maxTokens;
  expect(used).toBeLessThanOrEqual(1024);
  expect(used).toBeGreaterThan(1010);
  expect(prompt.text.startsWith("You are given a scientific article")).toBe(true);
  expect(prompt.text.endsWith("Question: Why?\n\nAnswer:")).toBe(true);
  expect(facts).toMatchObject({ cut: true, words: 3002 });
});

it("puts braces of the data in as they are", async () => {
  const data = await save("braces.jsonl", JSON.stringify({ input: "{context} $&", context: "{input} {x}", answers: ["1"] }));
  expect((await open("multifieldqa_en", { data })).at(0).prompt.text).toContain("\n\n{input} {x}\n\n");
});

it("chooses rows by seed when fewer are wanted", async () => {
  const rows = Array.from({ length: 40 }, (_, index) => JSON.stringify({ input: "", context: "", answers: ["1"], _id: `row ${index}` }));
  const data = await save("many.jsonl", rows.join("\n"));
  const ids = async (seed: number) => {
    const samples = await open("passage_count", { data, count: 5, seed });
    return Array.from({ length: samples.count }, (_, index) => samples.at(index).id);
  };
  expect(await ids(1)).toEqual(await ids(1));
  expect(await ids(1)).not.toEqual(await ids(2));
});

describe("bad data", () => {
  it("says where missing data comes from and what it holds", async () => {
    const expected = /LongBench's data\.zip, https:\/\/huggingface\.co\/datasets\/THUDM\/LongBench; save it as qasper\.jsonl\. Expected: .*answers/;
    await expect(findTask("qasper").open(options())).rejects.toThrow(expected);
    await expect(open("qasper", { data: { kind: "path", path: join(folder, "nowhere") } })).rejects.toThrow(/no file or folder .*nowhere/);
    await expect(open("lcc", { data: { kind: "path", path: folder } })).rejects.toThrow(/has no lcc\.jsonl or lcc\.jsonl\.gz/);
  });

  it.each([
    ["line that is no JSON", '{"input":"","context":"","answers":["1"]}\n{"input":', /bad\.jsonl, line 2 is no JSON: .*one JSON object/],
    ["list", "[1]", /line 1 holds a list; expected an object/],
    ["missing field", '{"input":"","context":""}', /line 1 has no field "answers"; expected a list of strings, 1 or more\. Its fields are input, context\./],
    ["wrong type", '\n{"input":"","context":"","answers":[1]}', /line 2 has a list in the field "answers"; expected a list of strings/],
    ["number for a text", '{"input":7,"context":"","answers":["1"]}', /line 1 has 7 in the field "input"; expected a string/],
    ["no answers", '{"input":"","context":"","answers":[]}', /1 or more/],
    ["empty file", "\n\n", /is empty/],
  ])("names file, line and field of a %s", async (_, text, message) => {
    await expect(open("qasper", { data: await save("bad.jsonl", text) })).rejects.toThrow(message);
  });
});
