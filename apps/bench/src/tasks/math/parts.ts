/** Answers of several parts: sets, tuples, intervals, unions and lists. */

/** Text between separators that stand outside all brackets, trimmed. */
export function splitOutside(text: string, separator: RegExp): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const rest = text.slice(at);
    const match = depth === 0 ? separator.exec(rest) : null;
    if (match !== null && match.index === 0 && match[0] !== "") {
      parts.push(text.slice(from, at).trim());
      at += match[0].length - 1;
      from = at + 1;
      continue;
    }
    // `\{` and `\}` count as one bracket.
    const sign = rest.startsWith("\\{") || rest.startsWith("\\}") ? (rest[1] ?? "") : (rest[0] ?? "");
    if (rest[0] === "\\" && (sign === "{" || sign === "}")) at++;
    if ("([{".includes(sign)) depth++;
    else if (")]}".includes(sign)) depth--;
  }
  parts.push(text.slice(from).trim());
  return parts;
}

export interface Bracketed {
  readonly open: string;
  readonly close: string;
  readonly parts: readonly string[];
}

/** `(a, b]` or `\{a, b\}`: brackets around the whole text, with a comma list of one or more inside. */
export function bracketed(text: string): Bracketed | undefined {
  const match = /^(\\\{|[([])(.*)(\\\}|[)\]])$/s.exec(text);
  if (match === null) return undefined;
  const [, open = "", inside = "", close = ""] = match;
  // Brackets that close before the end, as in (a)(b), are not around the whole.
  return isBalanced(inside) ? { open, close, parts: splitOutside(inside, /^,/) } : undefined;
}

function isBalanced(text: string): boolean {
  let depth = 0;
  for (const sign of text.replace(/\\[{}]/g, (bracket) => bracket.slice(1))) {
    if ("([{".includes(sign)) depth++;
    else if (")]}".includes(sign) && --depth < 0) return false;
  }
  return depth === 0;
}

/** Rows and cells of `\begin{pmatrix}…\end{pmatrix}` and its kind. */
export function matrixCells(text: string): string[][] | undefined {
  const body = /^\\begin\{([pbvV]?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}$/s.exec(text)?.[2];
  if (body === undefined) return undefined;
  const rows = body.split(/\\\\/).filter((row) => row.trim() !== "");
  return rows.map((row) => row.split("&").map((cell) => cell.trim()));
}

/** Whether the items pair up one to one, in any order. */
export function sameItems(left: readonly string[], right: readonly string[], equal: (a: string, b: string) => boolean): boolean {
  if (left.length !== right.length) return false;
  const free = [...right];
  return left.every((item) => {
    const at = free.findIndex((other) => equal(item, other));
    if (at >= 0) free.splice(at, 1);
    return at >= 0;
  });
}
