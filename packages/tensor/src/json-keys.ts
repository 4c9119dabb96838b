const QUOTE = 34;
const BACKSLASH = 92;

/**
 * The first key that an object of `text` gives twice, or undefined. `JSON.parse` keeps the last of them in silence,
 * so a file could show one reader one thing and us another. `text` must be valid JSON; the walk keeps its own stack,
 * so depth cannot exhaust the real one.
 */
export function duplicateJsonKey(text: string): string | undefined {
  // One entry per open bracket: the keys of an object so far, undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) {
      const end = stringEnd(text, at);
      if (isKey(text, end)) {
        const key = String(JSON.parse(text.slice(at, end)));
        const keys = open.at(-1);
        if (keys?.has(key) === true) return key;
        keys?.add(key);
      }
      at = end - 1;
    } else if (character === 123) open.push(new Set());
    else if (character === 91) open.push(undefined);
    else if (character === 125 || character === 93) open.pop();
  }
  return undefined;
}

/** One past the closing quote of the string that opens at `from`. */
function stringEnd(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at + 1;
}

/** A string is a key when a colon follows it. */
function isKey(text: string, at: number): boolean {
  let next = at;
  while (next < text.length && " \t\r\n".includes(text.charAt(next))) next++;
  return text.charAt(next) === ":";
}
