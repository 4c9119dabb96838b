/**
 * Whether two final answers, in LaTeX or plain, say the same: numbers and formulas by value, sets and lists in any order,
 * tuples and intervals in order and with their brackets, equations up to a factor, text by its words. A unit, a percent
 * sign or a `x =` that only one of them has does not count. What cannot be read as mathematics must read alike.
 */
import { asWords, normalize } from "./normalize.ts";
import { bracketed, matrixCells, sameItems, splitOutside } from "./parts.ts";
import { sameEquation, sameValue } from "./same-value.ts";
import { splitUnit } from "./units.ts";

export function sameAnswer(given: string, expected: string): boolean {
  // Models that loop write endless formulas; only their text is compared.
  if (given.length > longest || expected.length > longest) return given === expected;
  return same(normalize(given), normalize(expected));
}

/** Characters of the longest answer that is read as mathematics; those of the benchmarks have up to some 200. */
const longest = 2000;

/** Both normalized. */
function same(a: string, b: string): boolean {
  if (a === "" || b === "") return a === b;
  if (squeeze(a) === squeeze(b)) return true;
  if (isWhole(a) && isWhole(b)) return BigInt(a) === BigInt(b);
  return sameParts(a, b) ?? (sameRelation(a, b) ?? (sameMeasure(a, b) || isText(a, b)));
}

/** Answers of several parts; undefined when neither is one. */
function sameParts(a: string, b: string): boolean | undefined {
  return sameMatrix(a, b) ?? sameSplit(a, b, /^\\cup(?![a-zA-Z])/) ?? sameList(a, b) ?? sameBracketed(a, b);
}

function sameMatrix(a: string, b: string): boolean | undefined {
  const [left, right] = [matrixCells(a), matrixCells(b)];
  if (left === undefined || right === undefined) return undefined;
  return left.length === right.length && left.every((row, y) => row.length === right[y]?.length && row.every((cell, x) => same(cell, right[y]?.[x] ?? "")));
}

function sameSplit(a: string, b: string, separator: RegExp): boolean | undefined {
  const [left, right] = [splitOutside(a, separator), splitOutside(b, separator)];
  return left.length === 1 && right.length === 1 ? undefined : sameItems(left, right, same);
}

const listSeparator = /^(?:,|;|\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<=\s)(?:and|or)(?=\s))/;

/** Lists without brackets, `±` written out, and sets, all in any order. */
function sameList(a: string, b: string): boolean | undefined {
  const [left, right] = [itemsOf(a), itemsOf(b)];
  const plain = left.length === 1 && right.length === 1 && left[0] === a && right[0] === b;
  return plain ? undefined : sameItems(left, right, same);
}

function itemsOf(text: string): string[] {
  const set = bracketed(withoutName(text));
  const list = set?.open === "\\{" ? [...set.parts] : splitOutside(withoutName(text), listSeparator).filter((part) => part !== "");
  const items = list.flatMap((item) => {
    const parts = splitOutside(item, /^\\pm(?![a-zA-Z])|^±/);
    return parts.length === 2 ? [`${parts[0]}+${parts[1]}`, `${parts[0]}-${parts[1]}`] : [item];
  });
  // One item is no list: keep the text, with its name, for the comparisons that follow.
  return items.length === 1 && set?.open !== "\\{" ? [text] : items;
}

function sameBracketed(a: string, b: string): boolean | undefined {
  const [left, right] = [bracketed(a), bracketed(b)];
  if (left === undefined || right === undefined || (left.parts.length === 1 && right.parts.length === 1)) return undefined;
  if (left.open !== right.open || left.close !== right.close || left.parts.length !== right.parts.length) return false;
  return left.parts.every((part, at) => same(part, right.parts[at] ?? ""));
}

const relation = /^(?:=|<|>|\\leq(?![a-zA-Z])|\\geq(?![a-zA-Z])|\\neq(?![a-zA-Z])|\\in(?![a-zA-Z]))/;
const turned: Readonly<Record<string, string>> = { "<": ">", ">": "<", "\\leq": "\\geq", "\\geq": "\\leq", "=": "=", "\\neq": "\\neq" };

/** Equations and inequalities; undefined when neither is one. */
function sameRelation(a: string, b: string): boolean | undefined {
  const [left, right] = [relationOf(a), relationOf(b)];
  if (left === undefined && right === undefined) return undefined;
  if (left === undefined || right === undefined) {
    const [x, y] = [withoutName(a), withoutName(b)];
    return (x !== a || y !== b) && same(x, y);
  }
  if (left.signs.join() === "=" && right.signs.join() === "=" && sameEquation(sidesOf(left), sidesOf(right))) return true;
  return aligned(left, right) || aligned(left, { sides: [...right.sides].reverse(), signs: right.signs.map((sign) => turned[sign] ?? sign).reverse() });
}

interface Relation {
  readonly sides: readonly string[];
  readonly signs: readonly string[];
}

function relationOf(text: string): Relation | undefined {
  const sides = splitOutside(text, relation);
  if (sides.length < 2) return undefined;
  const signs = text.match(/=|<|>|\\(?:leq|geq|neq|in)(?![a-zA-Z])/g) ?? [];
  return { sides, signs: signs.slice(0, sides.length - 1) };
}

function sidesOf({ sides }: Relation): [string, string] {
  return [sides[0] ?? "", sides[1] ?? ""];
}

function aligned(left: Relation, right: Relation): boolean {
  return left.signs.join() === right.signs.join() && left.sides.length === right.sides.length && left.sides.every((side, at) => same(side, right.sides[at] ?? ""));
}

/** `x = 5` and `x \in [0, 1)` without the name in front. */
function withoutName(text: string): string {
  return text.replace(/^\\?[a-zA-Z](?:\([a-zA-Z]\)|_\{?\w+\}?)?\s*(?:=|\\in(?![a-zA-Z]))\s*(?=\S)/, "");
}

/** Values with or without unit and percent sign. */
function sameMeasure(a: string, b: string): boolean {
  const [left, right] = [splitUnit(a), splitUnit(b)];
  if (left.unit !== "" && right.unit !== "" && left.unit !== right.unit) return false;
  const percent = /\s*\\?%$/;
  const [x, y] = [left.value.replace(percent, ""), right.value.replace(percent, "")];
  if (sameValue(x, y)) return true;
  const onlyOne = percent.test(left.value) !== percent.test(right.value);
  return onlyOne && (percent.test(left.value) ? sameValue(`(${x})/100`, y) : sameValue(x, `(${y})/100`));
}

/** Words, where at least one answer is text rather than a formula. */
function isText(a: string, b: string): boolean {
  const wordy = (text: string): boolean => /\\text|[a-z]{3,}|^\(?[A-Z]\)?$/i.test(text.replace(/\\(?!text)[a-zA-Z]+/g, ""));
  return (wordy(a) || wordy(b)) && asWords(a) === asWords(b);
}

function isWhole(text: string): boolean {
  return /^-?\d+$/.test(text);
}

/** Without spaces and without the braces around single signs. */
function squeeze(text: string): string {
  return text.replace(/\s+/g, "").replace(/\{([a-zA-Z\d])\}/g, "$1");
}
