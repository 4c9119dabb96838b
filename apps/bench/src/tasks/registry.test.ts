import { expect, it } from "vitest";
import { families, findTask, selectTasks, tasks } from "./registry.ts";
import { meanOfSubjects, meanScore } from "./task.ts";

it("has every task once", () => {
  const names = tasks.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.filter((name) => families.includes(name))).toEqual(["needle"]);
  expect(families).toEqual(["ruler", "needle", "longbench", "knowledge", "reasoning", "code"]);
});

it("finds tasks by name and families by theirs, each task once", () => {
  expect(findTask("vt").name).toBe("vt");
  expect(selectTasks(["vt", "ruler"]).map(({ name }) => name)).toEqual(["vt", ...tasks.filter(({ family }) => family === "ruler").map(({ name }) => name).filter((name) => name !== "vt")]);
});

it("lists what exists for a name that does not, nearest names first", () => {
  expect(() => findTask("niah_multi_key_1")).toThrow(/no task "niah_multi_key_1"\. Did you mean niah_multikey_1 or/);
  expect(() => selectTasks(["longbnch"])).toThrow(/Did you mean longbench\?/);
  expect(() => findTask("chess")).toThrow(/no task "chess"\. Give a task or a family.*\n {2}ruler: niah_single_1, .*\n {2}needle: needle\n/);
});

it("averages scores, by subject where asked", () => {
  const scored = [1, 0, 1].map((value, at) => ({ facts: { subject: at < 2 ? "a" : "b" }, value }));
  expect(meanScore(scored)).toBeCloseTo(200 / 3, 12);
  expect(meanOfSubjects(scored)).toBe(75);
  expect(meanScore([])).toBeNaN();
});
