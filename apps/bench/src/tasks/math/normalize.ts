/** One spelling for what LaTeX writes in several ways. Changes the look of an answer, never its value. */

const spellings: readonly (readonly [RegExp, string])[] = [
  [/−|–/g, "-"],
  [/\\(?:left|right|bigl?|bigr?|Bigl?|Bigr?|displaystyle|textstyle|limits)(?![a-zA-Z])/g, ""],
  [/(?<!\\)\\[,:;> ]|~|\\quad(?![a-zA-Z])|\\qquad(?![a-zA-Z])/g, " "],
  [/\\[dtc]frac(?![a-zA-Z])/g, "\\frac"],
  [/\\(?:mathrm|mathbf|textbf|textit|textrm|mbox|operatorname)\s*(?=\{)/g, "\\text"],
  [/\\(?:le|leqslant)(?![a-zA-Z])|≤/g, "\\leq "],
  [/\\(?:ge|geqslant)(?![a-zA-Z])|≥/g, "\\geq "],
  [/\\(?:ne)(?![a-zA-Z])|≠/g, "\\neq "],
  [/\\lt(?![a-zA-Z])/g, "<"],
  [/\\gt(?![a-zA-Z])/g, ">"],
  [/\\(?:times|ast)(?![a-zA-Z])|×|·/g, "\\cdot "],
  [/\\lbrace(?![a-zA-Z])/g, "\\{"],
  [/\\rbrace(?![a-zA-Z])/g, "\\}"],
  [/π/g, "\\pi "],
  [/∞/g, "\\infty "],
  [/√/g, "\\sqrt"],
  [/∪/g, "\\cup "],
  [/\\(?:varnothing|O)(?![a-zA-Z])|∅/g, "\\emptyset "],
  [/\^\s*\{?\s*\\(?:circ|degree)\s*\}?|°|\\degree(?![a-zA-Z])/g, ""],
  [/(\d)\{,\}(?=\d{3})/g, "$1"],
];

/** The answer without signs of mathematics mode, spacing, sizes, currency and a full stop at its end. */
export function normalize(answer: string): string {
  let text = answer.trim().replace(/^\$+|\$+$|^\\\(|\\\)$|^\\\[|\\\]$/g, "");
  text = text.replace(/\\!\s*/g, "").replace(/\\\$|\$/g, "");
  for (const [pattern, spelling] of spellings) text = text.replace(pattern, spelling);
  text = joinThousands(text).replace(/\s+/g, " ").trim();
  return text.replace(/(?<!\d\.\.)\.$/, "").trim();
}

/** `12,345` becomes `12345`: three digits right behind a comma are of one number, not a list. In brackets, `(1,200)`, they are. */
function joinThousands(text: string): string {
  if (/^(?:[([]|\\\{)/.test(text)) return text;
  return text.replace(/(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])/g, (number) => number.replaceAll(",", ""));
}

/** The words of an answer that is text: `\text{ Evelyn }`, `Evelyn` and `(C)` become `evelyn` and `c`. */
export function asWords(normalized: string): string {
  const bare = normalized.replace(/\\text\s*\{([^{}]*)\}/g, "$1").replace(/\s+/g, " ").trim();
  return (/^\(([A-Za-z])\)$/.exec(bare)?.[1] ?? bare).toLowerCase();
}
