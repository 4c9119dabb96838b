import { readFile } from "node:fs/promises";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { fixtureFile } from "../../data.ts";
import type { GenerationSample } from "../task.ts";
import { options, tinyTokenizer } from "../testing.ts";
import { lastCodeBlock } from "./extract.ts";
import { canLimit, findIsolation, findPython } from "./host.ts";
import { humaneval } from "./humaneval.ts";
import { livecodebench } from "./livecodebench.ts";
import { sameOutput } from "./same-output.ts";
import { unpickleText } from "./unpickle.ts";

const data = { kind: "fixture" } as const;
let ready = false;
let allowNetwork = false;
beforeAll(async () => {
  ready = (await findPython()) !== undefined && (await canLimit());
  allowNetwork = (await findIsolation()) === undefined;
});
const why = "needs python3 and a shell that limits memory";

describe("humaneval", () => {
  const samples = async (chat: boolean) => {
    const opened = await humaneval.open(options({ data, count: 9, ...(chat ? { tokenizer: await tinyTokenizer() } : {}) }));
    return Array.from({ length: opened.count }, (_, index) => opened.at(index));
  };
  const solutions = async () => (await readFile(fixtureFile("code/humaneval.jsonl"), "utf8")).trim().split("\n").map((line) => JSON.parse(line) as Record<string, string>);

  it("passes right completions and whole functions, and fails wrong and endless ones", async (test) => {
    if (!ready) return test.skip(why);
    const [plain, rows] = [await samples(false), await solutions()];
    for (const [index, sample] of plain.entries()) {
      const { prompt = "", canonical_solution: body = "", entry_point: entry = "" } = rows[index] ?? {};
      const value = async (output: string) => (await humaneval.score(sample, output, { allowNetwork })).value;
      const whole = prompt.slice(prompt.indexOf(`def ${entry}`)) + body;
      expect(await value(body)).toBe(1);
      expect(await value(`Here it is:\n\n\`\`\`python\n${whole}\`\`\`\nIt works.`)).toBe(1);
      expect(await value("    return None\n")).toBe(0);
      expect(await value("    raise SystemExit(0)\n")).toBe(0);
    }
    const looped = await humaneval.score(plain[0] as GenerationSample, "    while True: pass\n", { allowNetwork });
    expect(looped).toMatchObject({ value: 0, details: { end: "out of time" } });
  }, 60_000);

  it("asks chat models for the function and others for its end", async () => {
    const [chat, plain] = [await samples(true), await samples(false)];
    expect(chat[0]?.prompt).toMatchObject({ form: "chat", text: expect.stringContaining("```python\nfrom typing import List\n\n\ndef running_total") });
    expect(plain[0]?.prompt).toMatchObject({ form: "plain", text: expect.stringMatching(/^from typing import List\n/) });
    expect([chat[0]?.stop, plain[0]?.stop.includes("\ndef ")]).toEqual([[], true]);
  });
});

describe("livecodebench", () => {
  const sample = async (index: number) => (await livecodebench.open(options({ data, count: 9 }))).at(index);
  const score = async (index: number, code: string) => livecodebench.score(await sample(index), `\`\`\`python\n${code}\n\`\`\``, { allowNetwork });

  it("judges programs by what they print for every input, hidden ones included", async (test) => {
    if (!ready) return test.skip(why);
    expect(await score(0, "input()\nprint(sum(map(int, input().split())))")).toEqual({ value: 1, details: { passed: 3, tests: 3 } });
    expect(await score(0, "input()\nprint(sum(map(int, input().split())), end='.0 \\n\\n')")).toMatchObject({ value: 1 });
    expect(await score(0, "input()\nprint(abs(sum(map(int, input().split()))))")).toEqual({ value: 0, details: { passed: 1, tests: 3, error: "wrong output" } });
    expect(await score(0, "print(1 / 0)")).toMatchObject({ value: 0, details: { error: "failed: ZeroDivisionError: division by zero" } });
  });

  it("judges methods by their results, whatever they print", async (test) => {
    if (!ready) return test.skip(why);
    const solution = (body: string) => `class Solution:\n    def countPairs(self, nums: List[int], k: int) -> int:\n        ${body}`;
    expect(await score(1, solution("print('hm'); return sum(a + b == k for a, b in combinations(nums, 2))"))).toMatchObject({ value: 1 });
    expect(await score(1, solution("return 2"))).toEqual({ value: 0, details: { passed: 1, tests: 3, error: "wrong result" } });
    expect(await score(1, solution("raise SystemExit(0)"))).toMatchObject({ value: 0 });
  });

  it("gives nothing for an answer without code", async () => {
    expect(await livecodebench.score(await sample(0), "I do not know.", {})).toMatchObject({ value: 0, details: { error: "no code block" } });
  });

  it("asks for a method where there is starter code", async () => {
    expect((await sample(0)).prompt.text).toContain("### Format: Read the inputs from stdin");
    expect((await sample(1)).prompt.text).toContain("```python\nclass Solution:\n    def countPairs(self, nums: List[int], k: int) -> int:\n```");
  });
});

it.each([
  ["a\n```python\nx = 1\n```\nb\n```py\nx = 2\n```\n", "x = 2\n"],
  ["```\nx\n```", "x\n"],
  ["```python\ncut off", "cut off"],
  ["```python\nx\n```\n```text\noutput\n```", "x\n"],
  ["no code", undefined],
  ["```json\n{}\n```", undefined],
])("takes the last block of Python from %j", (output, code) => expect(lastCodeBlock(output)).toBe(code));

it.each([
  ["1\n2\n", "1\n2", true],
  [" 1 \n2", "1\n2", true],
  ["1.50 2", "1.5 2.0", true],
  ["-0", "0", true],
  ["10000000000000000000001", "10000000000000000000002", false],
  ["1 2", "12", false],
  ["1\n2\n3", "1\n2", false],
  ["Yes", "YES", false],
  ["1e3", "1000", false],
])("compares the output %j with %j", (given, expected, same) => expect(sameOutput(given, expected)).toBe(same));

describe("bad data", () => {
  it("is refused with file, line and field", async () => {
    const folder = await mkdtemp(join(tmpdir(), "code-"));
    const path = join(folder, "test.jsonl");
    const row = { question_id: "q", question_content: "?", starter_code: "", public_test_cases: "[]", private_test_cases: "nonsense", metadata: "{}" };
    const first = async (change: object) => {
      await writeFile(path, JSON.stringify({ ...row, ...change }));
      return (await livecodebench.open(options({ data: { kind: "path", path } }))).at(0);
    };
    await expect(first({})).rejects.toThrow(/line 1, field "private_test_cases" is neither a JSON list nor deflated base64/);
    await expect(first({ private_test_cases: null })).rejects.toThrow(/line 1 has no test/);
    await expect(first({ public_test_cases: '[{"input":"1"}]' })).rejects.toThrow(/field "public_test_cases", test 0 has no field "output"/);
    await expect(first({ question_content: 3 })).rejects.toThrow(/line 1 has 3 in the field "question_content"/);
    await rm(folder, { recursive: true });
    await expect(humaneval.open(options())).rejects.toThrow(/openai\/human-eval.*task_id, prompt, entry_point and test/);
  });

  it("in pickles is never carried out", () => {
    const system = Buffer.from("cos\nsystem\n(S'echo'\ntR.", "latin1");
    expect(() => unpickleText(system)).toThrow(/instruction 0x63/);
    expect(() => unpickleText(Uint8Array.of(0x80, 4, 0x8c, 9, 0x61))).toThrow(/ends too early/);
    expect(unpickleText(Uint8Array.of(0x80, 4, 0x8c, 1, 0x61, 0x94, 0x2e))).toBe("a");
  });
});
