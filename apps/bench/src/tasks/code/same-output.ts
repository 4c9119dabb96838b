/**
 * Whether a program printed what was expected: line by line without spaces around, or else number by number, so that
 * `1.0` passes for `1`. Both as LiveCodeBench judges.
 */
export function sameOutput(given: string, expected: string): boolean {
  const [left, right] = [linesOf(given), linesOf(expected)];
  return left.length === right.length && left.every((line, at) => line === right[at] || sameNumbers(line, right[at] ?? ""));
}

function linesOf(text: string): string[] {
  return text.trim().split("\n").map((line) => line.trim());
}

function sameNumbers(a: string, b: string): boolean {
  const [left, right] = [a.split(/\s+/), b.split(/\s+/)];
  return left.length === right.length && left.every((word, at) => isDecimal(word) && isDecimal(right[at] ?? "") && plain(word) === plain(right[at] ?? ""));
}

function isDecimal(word: string): boolean {
  return /^[+-]?(?:\d+\.?\d*|\.\d+)$/.test(word);
}

/** One spelling of a decimal number: no plus sign, no needless zeros, no point at the end. Exact at any length. */
function plain(word: string): string {
  const sign = word.startsWith("-") ? "-" : "";
  const [whole = "", fraction = ""] = word.replace(/^[+-]/, "").split(".");
  const digits = `${whole.replace(/^0+/, "")}.${fraction.replace(/0+$/, "")}`;
  return digits === "." ? "0" : sign + digits;
}
