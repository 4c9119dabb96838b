import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import { decimal, integer, integerList } from "./options.ts";

describe("integer", () => {
  const parse = integer({ min: -1, max: 100 });
  it.each([["0", 0], ["-1", -1], ["+7", 7], ["100", 100], [" 5 ", 5]])("reads %j", (text, value) => {
    expect(parse(text)).toBe(value);
  });
  it.each(["", " ", "1.5", "1e3", "0x10", "-2", "101", "ten", "NaN", "99999999999999999999"])("refuses %j with the range", (text) => {
    expect(() => parse(text)).toThrow(InvalidArgumentError);
    expect(() => parse(text)).toThrow("from -1 to 100");
  });
});

describe("decimal", () => {
  const parse = decimal({ min: 0, max: 2 });
  it.each([["0", 0], ["0.7", 0.7], ["1e0", 1], [".5", 0.5]])("reads %j", (text, value) => {
    expect(parse(text)).toBe(value);
  });
  it.each(["", "-0.1", "2.1", "NaN", "Infinity", "half"])("refuses %j", (text) => {
    expect(() => parse(text)).toThrow("from 0 to 2");
  });
});

describe("integerList", () => {
  const parse = integerList({ min: 0, max: 10 });
  it("reads numbers between commas", () => {
    expect(parse("0,5, 9")).toEqual([0, 5, 9]);
  });
  it.each(["", "1,", "1;2", "1,11", "a"])("refuses %j", (text) => {
    expect(() => parse(text)).toThrow(InvalidArgumentError);
  });
});
