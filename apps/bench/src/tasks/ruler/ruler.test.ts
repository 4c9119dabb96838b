import { describe, expect, it } from "vitest";
import { findTask } from "../registry.ts";
import { promptIds } from "../task.ts";
import type { GenerationTask, TaskOptions } from "../task.ts";
import { fingerprint, options, tinyTokenizer } from "../testing.ts";
import { rulerTasks } from "./index.ts";

const tasks = rulerTasks as readonly GenerationTask[];
const open = (name: string, given: Partial<TaskOptions> = {}) => (findTask(name) as GenerationTask).open(options(given));
const occurrences = (text: string, part: string): number => text.split(part).length - 1;

describe.each(tasks)("$name", (task) => {
  it("makes the same samples from the same seed and others from another", async () => {
    const first = fingerprint(await task.open(options()));
    expect(fingerprint(await task.open(options()))).toBe(first);
    expect(fingerprint(await task.open(options({ seed: 2 })))).not.toBe(first);
    expect({ [task.name]: first }).toMatchSnapshot();
  });

  it.each([2048, 5001])("fills %i tokens and never exceeds them", async (length) => {
    const tokenizer = await tinyTokenizer();
    const samples = await task.open(options({ tokenizer, length, count: 2 }));
    for (let index = 0; index < samples.count; index++) {
      const { prompt, maxTokens, facts } = samples.at(index);
      const used = promptIds(tokenizer, prompt).length + maxTokens;
      expect(used).toBeLessThanOrEqual(length);
      // The coarsest unit is a document of QA or a worst-case step of the coded text's rounded counts.
      expect(used).toBeGreaterThan(length - 200);
      expect(facts["promptTokens"]).toBe(used - maxTokens);
    }
  });

  it("gives any sample alone as it is in the row", async () => {
    const samples = await task.open(options({ length: 2000 }));
    const last = samples.at(samples.count - 1);
    samples.at(0);
    expect(samples.at(samples.count - 1)).toEqual(last);
    expect(() => samples.at(samples.count)).toThrow(RangeError);
  });

  it("makes in parts what it makes at once", async () => {
    const all = await task.open(options({ count: 3 }));
    const part = await task.open(options({ first: 1, count: 2 }));
    expect([part.at(0), part.at(1)]).toEqual([all.at(1), all.at(2)]);
  });

  it("scores its own answer 1 and an empty one 0", async () => {
    const sample = (await task.open(options())).at(0);
    expect(await task.score(sample, ` ${sample.expected.join(", ").toUpperCase()}.`, {})).toMatchObject({ value: 1 });
    expect(await task.score(sample, "", {})).toMatchObject({ value: 0 });
  });

  it("refuses lengths that the model or the task cannot hold", async () => {
    await expect(task.open(options({ length: 8192, contextLength: 4096 }))).rejects.toThrow(/8192 tokens, but the model holds 4096/);
    const samples = await task.open(options({ length: task.name === "fwe" ? 100 : 60 }));
    expect(() => samples.at(0)).toThrow(/does not fit .* shortest prompt has \d+/);
  });
});

describe("needles", () => {
  it("writes each needle once, and asks for what it hides", async () => {
    for (const [name, needles] of [["niah_single_1", 1], ["niah_single_2", 1], ["niah_multikey_1", 4], ["niah_multivalue", 4], ["niah_multiquery", 4]] as const) {
      const { prompt, expected } = (await open(name)).at(1);
      expect(occurrences(prompt.text, "One of the special magic numbers for ")).toBe(needles);
      for (const value of expected) expect(occurrences(prompt.text, `is: ${value}.`)).toBe(1);
      expect(expected.every((value) => /^[1-9]\d{6}$/.test(value))).toBe(true);
      expect(expected).toHaveLength(name === "niah_multivalue" || name === "niah_multiquery" ? 4 : 1);
    }
  });

  it("speaks of one needle in the singular and of several in the plural", async () => {
    const one = (await open("niah_single_3")).at(0).prompt;
    const key = /for (\S+) mentioned in the provided text\?$/.exec(one.text)?.[1] ?? "";
    expect(one.text.startsWith("A special magic uuid is hidden within")).toBe(true);
    expect(one.answerPrefix).toBe(` The special magic uuid for ${key} mentioned in the provided text is`);
    expect(one.text).toContain(`One of the special magic uuids for ${key} is: `);
    const several = (await open("niah_multiquery")).at(0).prompt;
    expect(several.text).toMatch(/What are all the special magic numbers for (\S+, ){3}and \S+ mentioned/);
    expect(several.answerPrefix).toMatch(/mentioned in the provided text are$/);
  });

  it("hides the needle among other needles, with UUIDs as keys and values", async () => {
    const { prompt, expected } = (await open("niah_multikey_3")).at(0);
    const lines = prompt.text.split("\n").slice(1, -1);
    const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
    expect(lines.every((line) => new RegExp(`^One of the special magic uuids for ${uuid} is: ${uuid}\\.$`).test(line))).toBe(true);
    expect(lines.filter((line) => line.includes(expected[0] as string))).toHaveLength(1);
  });

  it("hides needles in a text that is given, and starts it again when it ends", async () => {
    const haystack = "Anna went out.\n\nShe came home late! Did it rain?";
    const { prompt } = (await open("niah_single_2", { haystack, length: 600 })).at(0);
    expect(occurrences(prompt.text, "Did it rain? Anna went out.") + occurrences(prompt.text, "Did it rain? One of")).toBeGreaterThan(5);
  });

  it("spreads needles over all depths", async () => {
    const samples = await open("niah_single_2", { count: 60, length: 1500 });
    const depths = Array.from({ length: 60 }, (_, index) => {
      const { prompt, expected, facts } = samples.at(index);
      const [depth] = facts["depths"] as [number];
      expect(depth).toBeCloseTo(prompt.text.indexOf(expected[0] as string) / prompt.text.length, 2);
      return depth;
    });
    for (let tenth = 0; tenth < 10; tenth += 3) expect(depths.some((depth) => Math.abs(depth * 10 - tenth) < 1)).toBe(true);
  });

  it("asks in the embedded model's words in style tiny", async () => {
    const { prompt, expected } = (await open("niah_multikey_1", { style: "tiny" })).at(0);
    const key = /What is the special magic number for (\w+) mentioned in the text above\?$/.exec(prompt.text)?.[1];
    expect(prompt.text).toContain(` The special magic number for ${key} is: ${expected[0]}. `);
    expect(prompt.answerPrefix).toBeUndefined();
    await expect(open("niah_single_3", { style: "tiny" })).rejects.toThrow(/niah_single_3 has no wording "tiny"/);
  });
});

describe("needle", () => {
  it("hides the needle at the depths asked for, in turn", async () => {
    const samples = await open("needle", { depths: [0, 0.25, 1], count: 6, length: 4000 });
    for (let index = 0; index < 6; index++) {
      const { prompt, facts, expected } = samples.at(index);
      const text = prompt.text.slice(prompt.text.indexOf("\n"), prompt.text.lastIndexOf("\n"));
      expect(facts["depth"]).toBe([0, 0.25, 1][index % 3]);
      expect(text.indexOf(expected[0] as string) / text.length).toBeCloseTo(facts["depth"] as number, 1);
    }
  });

  it("keeps its needle at another length", async () => {
    const [short, long] = await Promise.all([open("needle", { length: 1000 }), open("needle", { length: 3000 })]);
    expect(long.at(1).expected).toEqual(short.at(1).expected);
  });
});

describe("vt", () => {
  it("chains five variables to one number, in order, behind a worked example", async () => {
    const { prompt, expected } = (await open("vt")).at(0);
    const value = /assigned the value (\d{5}) in the text above\.$/.exec(prompt.text)?.[1];
    const [example, question] = prompt.text.split("\n\nMemorize and track") as [string, string];
    expect(expected).toHaveLength(5);
    let from = 0;
    expected.forEach((name, at) => {
      const line = at === 0 ? `\nVAR ${name} = ${value}\n` : `\nVAR ${name} = VAR ${expected[at - 1]} \n`;
      const found = question.indexOf(line, from);
      expect(found).toBeGreaterThanOrEqual(from);
      from = found;
    });
    const shown = /they are: {2}((?:[A-Z]{3} ?){5})$/.exec(example)?.[1]?.split(" ") ?? [];
    expect(shown.every((name) => example.includes(`VAR ${name} = `))).toBe(true);
    expect(prompt.answerPrefix).toBe(` Answer: According to the chain(s) of variable assignment in the text above, 5 variables are assigned the value ${value}, they are: `);
  });
});

describe("cwe", () => {
  it.each([[2048, 6, 1], [6000, 30, 3]])("repeats the ten words more often than the others at %i tokens", async (length, often, seldom) => {
    const { prompt, expected } = (await open("cwe", { length })).at(0);
    const list = prompt.text.split("Memorize the ones that appear most often.\n").at(-1) as string;
    const counts = new Map<string, number>();
    for (const [, word = ""] of list.matchAll(/\d+\. ([\w-]+)/g)) counts.set(word, (counts.get(word) ?? 0) + 1);
    for (const [word, count] of counts) expect(count).toBe(expected.includes(word) ? often : seldom);
    expect(expected.every((word) => counts.has(word))).toBe(true);
  });

  it("takes words of a book where the list ends, so that lengths have no end", async () => {
    const { facts } = (await open("cwe", { length: 100_000 })).at(0);
    expect(facts["size"]).toBeGreaterThan(3000);
  });
});

describe("fwe", () => {
  it("gives rank k the share k⁻² / ζ(2) of the words, and dots to rank 1", async () => {
    const { prompt, expected, facts } = (await open("fwe", { length: 8192 })).at(0);
    const text = /coded words\. (.*)\nQuestion/.exec(prompt.text)?.[1] ?? "";
    const counts = new Map<string, number>();
    for (const word of text.split(" ")) counts.set(word, (counts.get(word) ?? 0) + 1);
    const size = facts["size"] as number;
    const ranked = [...counts].sort((a, b) => b[1] - a[1]);
    expect(ranked.slice(0, 4).map(([word]) => word)).toEqual(["...", ...expected]);
    ranked.slice(0, 6).forEach(([, count], at) => expect(count).toBe(Math.floor((size * 6) / Math.PI ** 2 / (at + 1) ** 2)));
  });
});

describe("qa", () => {
  it("has the documents that answer the question, numbered, among others", async () => {
    const samples = await open("qa_1", { length: 1000, count: 50 });
    expect(samples.source).toBe("fixture");
    expect(samples.count).toBe(13);
    for (let index = 0; index < samples.count; index++) {
      const { prompt, expected } = samples.at(index);
      const numbers = [...prompt.text.matchAll(/^Document (\d+):$/gm)].map(([, number]) => Number(number));
      expect(numbers).toEqual(numbers.map((_, at) => at + 1));
      expect(expected.some((answer) => prompt.text.includes(answer))).toBe(true);
    }
  });
});
