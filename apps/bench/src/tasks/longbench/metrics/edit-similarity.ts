/**
 * Similarity of the first line of code in an output to the right line: `ratio` in whole percents, as fuzzywuzzy rounds
 * it. Lines with a backtick, `#` or `//` are no code.
 */
export function editSimilarity(output: string, answer: string): number {
  const lines = output.replace(/^\n+/, "").split("\n");
  const code = lines.find((line) => !line.includes("`") && !line.includes("#") && !line.includes("//")) ?? "";
  return roundHalfEven(100 * ratio(code, answer)) / 100;
}

/**
 * 2·M / T with M characters in matching blocks and T characters in both texts: Ratcliff and Obershelp's similarity, what
 * fuzzywuzzy's `ratio` is without its optional extension (Python's difflib, without its heuristic for popular characters
 * in texts of 200 characters and more). 0 when either text is empty.
 */
export function ratio(a: string, b: string): number {
  return a === "" || b === "" ? 0 : (2 * matching(a, b)) / (a.length + b.length);
}

/** Characters in the longest common block, and in those to its left and right. */
function matching(a: string, b: string): number {
  const { length, atA, atB } = longestBlock(a, b);
  if (length === 0) return 0;
  return length + matching(a.slice(0, atA), b.slice(0, atB)) + matching(a.slice(atA + length), b.slice(atB + length));
}

/** The longest common block; of several the first in `a`, then in `b`. */
function longestBlock(a: string, b: string): { length: number; atA: number; atB: number } {
  let best = { length: 0, atA: 0, atB: 0 };
  let previous = new Uint32Array(b.length + 1);
  for (let i = 0; i < a.length; i++) {
    const current = new Uint32Array(b.length + 1);
    for (let j = 0; j < b.length; j++) {
      if (a[i] !== b[j]) continue;
      const length = (previous[j] ?? 0) + 1;
      current[j + 1] = length;
      if (length > best.length) best = { length, atA: i + 1 - length, atB: j + 1 - length };
    }
    previous = current;
  }
  return best;
}

/** Python's rounding: halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
