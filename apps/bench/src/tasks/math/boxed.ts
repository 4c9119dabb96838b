/** The content of the last `\boxed{…}` (or `\fbox{…}`, or `\boxed 5`) in a solution, braces inside kept; undefined without one. */
export function lastBoxed(text: string): string | undefined {
  const starts = [...text.matchAll(/\\(?:boxed|fbox)\b\s*/g)];
  for (const start of starts.reverse()) {
    const at = start.index + start[0].length;
    const content = text[at] === "{" ? braced(text, at) : /^[^\s$\\{}]+/.exec(text.slice(at))?.[0];
    if (content !== undefined) return content.trim();
  }
  return undefined;
}

/** What stands between the brace at `open` and the one that closes it; undefined when none does. */
export function braced(text: string, open: number): string | undefined {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return text.slice(open + 1, at);
  }
  return undefined;
}
