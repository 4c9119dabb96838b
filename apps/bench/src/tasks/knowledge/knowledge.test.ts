import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { choiceIds, promptIds, type TaskOptions } from "../task.ts";
import { options, tinyTokenizer, wordTokenizer } from "../testing.ts";
import { ceval } from "./ceval.ts";
import { mmlu } from "./mmlu.ts";

const data = { kind: "fixture" } as const;
let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "knowledge-"))));
afterAll(() => rm(folder, { recursive: true }));

it("asks as MMLU's authors do, behind five examples of the subject", async () => {
  const samples = await mmlu.open(options({ data, count: 100 }));
  expect(samples.count).toBe(5);
  const { prompt, choices, answer, facts } = samples.at(0);
  expect(prompt.text.startsWith("The following are multiple choice questions (with answers) about  astronomy.\n\nWhich planet is closest to the Sun?\nA. Venus\nB. Mercury\nC. Earth\nD. Mars\nAnswer: B\n\n")).toBe(true);
  expect(prompt.text.endsWith("\n\nWhich of these is a moon of Jupiter?\nA. Titan\nB. Phobos\nC. Europa\nD. Triton\nAnswer:")).toBe(true);
  expect([choices, answer, facts["shots"], facts["subject"]]).toEqual([[" A", " B", " C", " D"], 2, 5, "astronomy"]);
});

it("asks as C-Eval's authors do, with the subject's Chinese name", async () => {
  const samples = await ceval.open(options({ data, count: 100 }));
  const { prompt, choices, facts } = samples.at(0);
  expect(prompt.text).toBe("以下是中国关于逻辑学考试的单项选择题，请选出其中的正确答案。\n\n“所有的鸟都有羽毛”的矛盾命题是____。\nA. 有的鸟没有羽毛\nB. 所有的鸟都没有羽毛\nC. 有的鸟有羽毛\nD. 没有鸟有羽毛\n答案：A\n\n如果下雨，地就湿。地没有湿，所以____。\nA. 下雨了\nB. 没有下雨\nC. 可能下雨了\nD. 无法判断\n答案：");
  expect([choices[0], facts["subject"]]).toEqual(["A", "logic"]);
});

it("drops examples that do not fit, and refuses a question that does not fit alone", async () => {
  const tokenizer = wordTokenizer();
  const shortened = (await mmlu.open(options({ data, tokenizer, length: 150 }))).at(0);
  expect(shortened.facts["shots"]).toBeLessThan(5);
  expect(shortened.facts["shots"]).toBeGreaterThan(0);
  expect(promptIds(tokenizer, shortened.prompt).length).toBeLessThan(150);
  const tooShort = await mmlu.open(options({ data, tokenizer, length: 20 }));
  expect(() => tooShort.at(0)).toThrow(/does not fit 20 tokens/);
});

it("shares its questions among runs", async () => {
  const idsOf = async (given: Partial<TaskOptions>) => {
    const samples = await mmlu.open(options({ data, ...given }));
    return Array.from({ length: samples.count }, (_, index) => samples.at(index).id);
  };
  const [first, others, all] = [await idsOf({ count: 2 }), await idsOf({ first: 2, count: 9 }), await idsOf({ count: 9 })];
  expect([...first, ...others].sort()).toEqual(all);
  await expect(mmlu.open(options({ data, first: 5 }))).rejects.toThrow(/mmlu: the first sample is to be number 5, but there are 5/);
});

it("scores the likeliest letter", async () => {
  const sample = (await mmlu.open(options({ data }))).at(0);
  const logProbs = [-3, -2, -1, -1.5];
  expect(mmlu.score(sample, logProbs)).toEqual({ value: sample.answer === 2 ? 1 : 0, details: { chosen: "C", answer: "ABCD"[sample.answer], logProbs } });
});

it("weighs questions in MMLU and subjects in C-Eval", () => {
  const scored = [["a", 1], ["a", 1], ["a", 1], ["b", 0]].map(([subject, value]) => ({ facts: { subject: subject as string }, value: value as number }));
  expect(mmlu.aggregate(scored)).toBe(75);
  expect(ceval.aggregate(scored)).toBe(50);
});

it("gives a choice's tokens as they follow the prompt", async () => {
  const tokenizer = await tinyTokenizer();
  const prompt = { form: "plain", text: "Answer:" } as const;
  expect(promptIds(tokenizer, prompt).concat(choiceIds(tokenizer, prompt, " B"))).toEqual(tokenizer.encode("Answer: B"));
});

describe("data", () => {
  it("may be JSON Lines with a subject in each row", async () => {
    const row = { subject: "logic", question: "Which?", choices: ["1", "2", "3", "4"], answer: 3 };
    await writeFile(join(folder, "test.jsonl"), JSON.stringify(row));
    await writeFile(join(folder, "dev.jsonl"), JSON.stringify({ ...row, answer: "A" }));
    const sample = (await mmlu.open(options({ data: { kind: "path", path: folder } }))).at(0);
    expect([sample.answer, sample.prompt.text.includes("Answer: A\n\nWhich?")]).toEqual([3, true]);
  });

  it("is named when missing, with where it comes from", async () => {
    await expect(mmlu.open(options())).rejects.toThrow(/hendrycks\/data\.tar.*test\/<subject>_test\.csv/);
    await expect(ceval.open(options({ data: { kind: "path", path: join(folder, "none") } }))).rejects.toThrow(/no folder .*none/);
    await expect(ceval.open(options({ data: { kind: "path", path: folder } }))).rejects.toThrow(/neither val\.jsonl nor CSV files in val/);
  });

  it.each([
    ["1,2\n", /mmlu_test\.csv|logic_test\.csv is no CSV table/],
    ["Which?,1,2,3,4,E\n", /logic_test\.csv, line 1 has "E" in the field "answer"; expected A, B, C, D/],
    ['Which?,"1,2,3,4,A\n', /logic_test\.csv is no CSV table.*[Qq]uote/],
  ])("is refused with file and line: %j", async (text, message) => {
    const broken = await mkdtemp(join(folder, "broken-"));
    await Promise.all(["test", "dev"].map((split) => mkdir(join(broken, split))));
    await writeFile(join(broken, "test", "logic_test.csv"), text);
    await writeFile(join(broken, "dev", "logic_dev.csv"), "Which?,1,2,3,4,A\n");
    await expect(mmlu.open(options({ data: { kind: "path", path: broken } }))).rejects.toThrow(message);
  });
});
