/** Values worked out by hand from the definitions; the comments show the working. */
import { describe, expect, it } from "vitest";
import { classification } from "./classification.ts";
import { segment } from "./chinese.ts";
import { editSimilarity, ratio } from "./edit-similarity.ts";
import { f1, f1Chinese } from "./f1.ts";
import { count, retrieval } from "./numbers.ts";
import { rougeL, rougeLChinese } from "./rouge.ts";

describe("F1", () => {
  it.each([
    ["The cat sat.", "cat sat", 1], // article and punctuation go
    ["a big cat", "the cat", 2 / 3], // common 1 of {big, cat} and {cat}: p 1/2, r 1
    ["cat cat dog", "cat dog dog", 2 / 3], // bags: cat once, dog once; p 2/3, r 2/3
    ["well-known", "well known", 0], // the hyphen goes, not becoming a space: "wellknown"
    ["", "cat", 0],
    ["the", "the", 0], // nothing is left
    ["U.S.A.", "usa", 1],
    ["theatre", "the atre", 0], // "the" only goes as a word: theatre against atre
  ])("of %j to %j is %d", (output, answer, expected) => expect(f1(output, answer)).toBeCloseTo(expected, 12));

  it("counts jieba's words in Chinese", async () => {
    expect(await segment("我来到北京清华大学。")).toEqual(["我", "来到", "北京", "清华大学", "。"]);
    // 北京 清华大学 of 我 来到 北京 清华大学: p 2/2, r 2/4.
    expect(await f1Chinese("北京清华大学！", "我来到北京清华大学。")).toBeCloseTo(2 / 3, 12);
    expect(await f1Chinese("南京", "我来到北京清华大学。")).toBe(0);
  });
});

describe("ROUGE-L", () => {
  it.each([
    ["the cat sat", "the cat sat", 1],
    ["the cat", "the cat sat down", 2 / 3], // p 2/2, r 2/4
    ["sat cat the", "the cat sat", 1 / 3], // longest common subsequence 1: p 1/3, r 1/3
    ["a a a b", "a b", 1], // words count once: {a, b} of {a, b} on both sides
    // Union over sentences: reference w1 w2 w3 w4 w5; "w1 w2 w6 w7 w8" gives w1 w2, "w1 w3 w8 w9 w5" gives w1 w3 w5.
    ["w1 w2 w6 w7 w8.w1 w3 w8 w9 w5", "w1 w2 w3 w4 w5", (2 * (4 / 8) * (4 / 5)) / (4 / 8 + 4 / 5)],
    ["no match", "other words", 0],
    ["", "the cat", 0],
    ["...", "the cat", 0],
  ])("of %j to %j is %d", (output, answer, expected) => expect(rougeL(output, answer)).toBeCloseTo(expected, 7));

  it("counts jieba's words in Chinese", async () => {
    // 来到 北京 of 我 来到 北京 清华大学: p 2/2, r 2/4.
    expect(await rougeLChinese("来到北京", "我来到北京清华大学")).toBeCloseTo(2 / 3, 7);
  });
});

describe("classification", () => {
  const classes = ["Country", "Other location", "location", "Date"];
  it.each([
    ["Type: Country", "Country", 1],
    ["Country or Date", "Date", 1 / 2],
    ["Country, Date, location", "Date", 1 / 3],
    ["Other location", "Other location", 1], // "location" is part of the right name
    ["Other location", "location", 1 / 2], // here both are named
    ["city", "Country", 0],
    ["Date", "Country", 0],
  ])("of %j for %j is %d", (output, answer, expected) => expect(classification(output, answer, classes)).toBeCloseTo(expected, 12));
});

describe("numbers", () => {
  it.each([["There are 17.", "17", 1], ["17 or 18", "17", 1 / 2], ["17, 17, 4", "17", 2 / 3], ["none", "17", 0], ["170", "17", 0]])(
    "counts %j for %j as %d",
    (output, answer, expected) => expect(count(output, answer)).toBeCloseTo(expected, 12),
  );

  it.each([["Paragraph 3", "Paragraph 3", 1], ["3 of 30", "Paragraph 3", 1 / 2], ["段落12", "段落12", 1], ["Paragraph 12", "Paragraph 1", 0]])(
    "finds the paragraph of %j for %j as %d",
    (output, answer, expected) => expect(retrieval(output, answer)).toBeCloseTo(expected, 12),
  );

  it("refuses an answer that names no paragraph", () => expect(() => retrieval("3", "3")).toThrow(/names no paragraph/));
});

describe("edit similarity", () => {
  it.each([
    ["abcd", "bcde", 0.75], // bcd: 2·3/8
    ["    return x + 1", "    return x+1", 28 / 30], // "    return x" 12, "+" 1, "1" 1: 2·14/30
    ["print(foo)", "foo = print", 10 / 21], // only the longest block, print, and nothing beside it: 2·5/21
    ["", "x", 0],
    ["same", "same", 1],
  ])("ratio of %j to %j is %d", (a, b, expected) => expect(ratio(a, b)).toBeCloseTo(expected, 12));

  it("takes the first line that is code, in whole percents", () => {
    expect(editSimilarity("\n```python\n# comment\n    return x + 1\nrest", "    return x+1")).toBe(0.93);
    expect(editSimilarity("// only\n# comments", "x")).toBe(0);
  });
});
