import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sameAnswer } from "./same-answer.ts";

/** Each row: kind, answer, answer. */
const equal: readonly (readonly [string, string, string])[] = [
  ["whole numbers", "73", "073"],
  ["whole numbers", "-5", "−5"],
  ["whole numbers", "$42$", "42."],
  ["thousands", "1,234,567", "1234567"],
  ["thousands", "1{,}000", "1000"],
  ["thousands", "10\\!000", "10000"],
  ["thousands", "11,\\! 111,\\! 111", "11111111"],
  ["thousands", "\\$32,\\!348", "32348"],
  ["fractions", "\\frac12", "\\dfrac{1}{2}"],
  ["fractions", "1/2", "\\frac{1}{2}"],
  ["fractions", "0.5", "\\tfrac{1}{2}"],
  ["fractions", "\\frac{2}{4}", "\\frac{1}{2}"],
  ["fractions", "-\\frac{3}{4}", "\\frac{-3}{4}"],
  ["fractions", "\\frac1{72}", "\\frac{1}{72}"],
  ["mixed numbers", "3\\frac{1}{2}", "\\frac{7}{2}"],
  ["mixed numbers", "3\\frac12", "3.5"],
  ["products that look like mixed numbers", "2\\frac{\\pi}{3}", "\\frac{2\\pi}{3}"],
  ["radicals", "\\frac{1}{\\sqrt{2}}", "\\frac{\\sqrt2}{2}"],
  ["radicals", "\\sqrt{12}", "2\\sqrt{3}"],
  ["radicals", "\\sqrt[3]{-8}", "-2"],
  ["radicals", "11\\sqrt2", "11\\sqrt{2}"],
  ["radicals", "\\sqrt{3+2\\sqrt{2}}", "1+\\sqrt{2}"],
  ["powers", "2^{10}", "1024"],
  ["powers", "4^{3/2}", "8"],
  ["powers", "x^{-1}", "\\frac{1}{x}"],
  ["powers", "-2^2", "-4"],
  ["constants", "3\\pi", "\\pi \\cdot 3"],
  ["constants", "π/2", "\\frac{\\pi}{2}"],
  ["constants", "e^{i\\pi}", "-1"],
  ["complex numbers", "6 - 5i", "-5i+6"],
  ["complex numbers", "(1+i)^2", "2i"],
  ["functions", "\\sin^2 x + \\cos^2 x", "1"],
  ["functions", "\\log_2 8", "3"],
  ["functions", "\\ln e^2", "2"],
  ["functions", "\\sin 2x", "2\\sin x\\cos x"],
  ["functions", "\\tan^{-1} 1", "\\frac{\\pi}{4}"],
  ["functions", "\\cot x", "\\frac{\\cos x}{\\sin x}"],
  ["factorials", "5!", "120"],
  ["factorials", "\\binom{5}{2}", "10"],
  ["polynomials", "(x+1)^2", "x^2+2x+1"],
  ["polynomials", "x(x-1)", "x^2 - x"],
  ["polynomials", "p - q", "-q+p"],
  ["polynomials", "a_1+a_{2}", "a_2+a_1"],
  ["absolute values", "|-3|", "3"],
  ["tuples", "(3, \\frac{\\pi}{2})", "\\left( 3, \\pi/2 \\right)"],
  ["tuples", "(1,-2,0.5)", "(1, -2, \\frac{1}{2})"],
  ["tuples with thousands", "(1, 200)", "(1,200)"],
  ["intervals", "[0,1)", "[0, 1)"],
  ["intervals", "(-\\infty, \\frac{1}{2}]", "(-\\infty,0.5]"],
  ["intervals", "x \\in [-2,7]", "[-2, 7]"],
  ["unions", "(-\\infty,2)\\cup(3,\\infty)", "(3,\\infty) \\cup (-\\infty, 2)"],
  ["sets", "\\{1,2,3\\}", "\\left\\{3, 1, 2\\right\\}"],
  ["sets", "\\{1, \\frac{1}{2}\\}", "\\{0.5,1\\}"],
  ["sets", "x \\in \\{1,2\\}", "\\{2, 1\\}"],
  ["sets", "\\{1\\pm\\sqrt{5},-2\\}", "\\{1+\\sqrt5, 1-\\sqrt5, -2\\}"],
  ["lists", "1, -2", "-2,1"],
  ["lists", "2 \\text{ and } 3", "3, 2"],
  ["lists", "x = 1, 2", "1,2"],
  ["lists", "1 \\pm \\sqrt{5}", "1+\\sqrt5, 1-\\sqrt5"],
  ["lists of tuples", "(0,1), (1,0)", "(1,0),(0,1)"],
  ["matrices", "\\begin{pmatrix} 1 \\\\ \\frac12 \\end{pmatrix}", "\\begin{pmatrix}1\\\\0.5\\end{pmatrix}"],
  ["equations", "y = 2x + 1", "2x - y + 1 = 0"],
  ["equations", "\\frac{x}{2}+\\frac{y}{3}=1", "3x+2y=6"],
  ["equations", "x=-1 \\text{ or } x=3", "-1, 3"],
  ["equations", "x = 5", "5"],
  ["equations", "5", "n = 5"],
  ["equations", "f(x) = x^2", "x^2"],
  ["inequalities", "x \\le 3", "3 \\geq x"],
  ["inequalities", "1 < x \\leq 2", "1<x\\le2"],
  ["units", "5 \\text{ cm}", "5"],
  ["units", "5 \\text{ cm}^2", "5 square centimeters"],
  ["units", "12\\mbox{ inches}", "12 in"],
  ["units", "\\$18.90", "18.90"],
  ["units", "3 hours", "3"],
  ["units", "90^\\circ", "90"],
  ["units", "90^{\\circ}", "90 degrees"],
  ["units", "2\\sqrt{3}\\text{ m}", "\\sqrt{12}"],
  ["percent", "10\\%", "10"],
  ["percent", "10\\%", "0.1"],
  ["percent", "12.5%", "12.5\\%"],
  ["text", "\\text{Evelyn}", "Evelyn"],
  ["text", "\\text{even}", "Even"],
  ["text", "\\text{(C)}", "C"],
  ["text", "\\mathrm{No}", "no"],
  ["what cannot be read", "4343_6", "4343_{6}"],
  ["infinity", "\\infty", "\\infty"],
  ["braces", "{7}", "7"],
];

const unequal: readonly (readonly [string, string, string])[] = [
  ["whole numbers", "73", "37"],
  ["large whole numbers", "1000000000000000001", "1000000000000000002"],
  ["decimals", "0.333", "\\frac{1}{3}"],
  ["decimals", "3.14", "\\pi"],
  ["decimals", "0.1", "1"],
  ["signs", "-\\frac12", "\\frac12"],
  ["mixed numbers", "3\\frac{1}{2}", "\\frac{3}{2}"],
  ["radicals", "\\sqrt{5}", "\\sqrt{6}"],
  ["radicals", "\\sqrt[3]{5}", "\\sqrt{5}"],
  ["powers", "2^{10}", "10^2"],
  ["polynomials", "x+1", "x-1"],
  ["variables", "x", "y"],
  ["variables", "2x", "2"],
  ["sign of a variable", "\\sqrt{x^2}", "x"],
  ["tuples", "(1,2)", "(2,1)"],
  ["tuples", "(1,2)", "(1,2,3)"],
  ["tuples", "(1,2)", "1"],
  ["intervals", "[0,1)", "[0,1]"],
  ["intervals", "(0,1)", "[0,1]"],
  ["unions", "(0,1)\\cup(2,3)", "(0,1)\\cup(2,4)"],
  ["unions", "(0,1)\\cup(2,3)", "(0,1)"],
  ["sets", "\\{1,2\\}", "\\{1,2,3\\}"],
  ["sets", "\\{1,1,2\\}", "\\{1,2,2\\}"],
  ["lists", "1,2", "1,3"],
  ["lists", "1, 2", "1"],
  ["lists against thousands", "1, 234", "1234"],
  ["plus and minus", "\\pm 2", "2"],
  ["matrices", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}2\\\\1\\end{pmatrix}"],
  ["equations", "y = 2x + 1", "y = 2x - 1"],
  ["inequalities", "x < 3", "x \\leq 3"],
  ["inequalities", "x < 3", "x > 3"],
  ["inequalities", "x < 3", "3"],
  ["units", "5 \\text{ cm}", "5 \\text{ m}"],
  ["units", "5 \\text{ cm}^2", "5 \\text{ cm}^3"],
  ["percent", "10\\%", "1"],
  ["text", "\\text{Evelyn}", "\\text{Carla}"],
  ["text", "A", "B"],
  ["bases", "4343_6", "4343_7"],
  ["bases", "4343_6", "4343"],
  ["infinity", "\\infty", "-\\infty"],
  ["numbers beyond doubles", "10^{400}", "10^{401}"],
  ["nothing", "", "0"],
  ["what cannot be read", "\\foo{1}", "\\foo{2}"],
  ["half a formula", "\\frac{1}{", "\\frac{1}{2}"],
];

describe("equal", () => {
  it.each(equal)("%s: %s is %s", (_, a, b) => {
    expect(sameAnswer(a, b)).toBe(true);
    expect(sameAnswer(b, a)).toBe(true);
  });
});

describe("unequal", () => {
  it.each(unequal)("%s: %s is not %s", (_, a, b) => {
    expect(sameAnswer(a, b)).toBe(false);
    expect(sameAnswer(b, a)).toBe(false);
  });
});

it("takes any answer as equal to itself", () => {
  for (const [, a, b] of [...equal, ...unequal]) expect([sameAnswer(a, a), sameAnswer(b, b)]).toEqual([true, true]);
});

it("answers for any text, without throwing, and the same in both directions", () => {
  const pieces = ["\\frac", "\\sqrt", "{", "}", "(", ")", "[", "]", "\\{", "\\}", "1", "23", ",", " ", "x", "e", "=", "<", "+", "-", "^", "_", "/", "|", "\\pm", "\\cup", "\\text{or}", "\\", "$", "%", ".", "!", "\\sin", "\\infty"];
  const text = fc.array(fc.constantFrom(...pieces), { maxLength: 9 }).map((chosen) => chosen.join(""));
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(sameAnswer(a, b)).toBe(sameAnswer(b, a));
      expect(sameAnswer(a, a)).toBe(true);
    }),
    { numRuns: 4000, seed: 1 },
  );
});

it("gives up on formulas of endless depth or length", () => {
  expect(sameAnswer("(".repeat(50_000), "1")).toBe(false);
  expect(sameAnswer(`${"(".repeat(50_000)}1${")".repeat(50_000)}`, "1")).toBe(false);
  expect(sameAnswer("1+".repeat(50_000), "x")).toBe(false);
  expect(sameAnswer("1,".repeat(50_000), "1")).toBe(false);
});
