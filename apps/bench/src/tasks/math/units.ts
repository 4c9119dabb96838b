/** Units behind numbers, in `\text{…}` or as plain words. */

const words =
  "mm|cm|km|m|in|ft|yd|mi|kg|mg|g|lb|oz|ml|L|s|sec|min|h|hr|mph|inch|inches|foot|feet|yards?|miles?|(?:centi|milli|kilo)?met(?:er|re)s?|grams?|kilograms?|pounds?|ounces?|lit(?:er|re)s?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|degrees?|radians?|units?|dollars?|cents?|percent|points?|people|students?|ways?|square|cubic|sq|cu|per|am|pm|a\\.m\\.|p\\.m\\.";
const plainUnit = new RegExp(`^(.*?[\\d})])\\s+((?:(?:${words})\\.?(?:\\^\\{?[23]\\}?)?[ /]*)+)$`, "i");
const textUnit = /^(.*?)\s*\\text\s*\{([^{}]*)\}\s*(?:\^\s*\{?\s*([23])\s*\}?)?$/s;

export interface Measured {
  readonly value: string;
  /** In one spelling; empty without a unit. */
  readonly unit: string;
}

/** Value and unit of `5 \text{ cm}^2` or `5 cm^2`; text without a value before it has no unit. */
export function splitUnit(normalized: string): Measured {
  const text = textUnit.exec(normalized);
  const plain = text === null ? plainUnit.exec(normalized) : null;
  const value = (text?.[1] ?? plain?.[1] ?? "").trim();
  if (value === "") return { value: normalized, unit: "" };
  return { value, unit: spelled(`${text?.[2] ?? plain?.[2] ?? ""}${text?.[3] === undefined ? "" : `^${text[3]}`}`) };
}

const shortForms: readonly (readonly [RegExp, string])[] = [
  [/\b(?:square|sq)\s+(\w+)/g, "$1^2"],
  [/\b(?:cubic|cu)\s+(\w+)/g, "$1^3"],
  [/\bcentimet(?:er|re)s?\b/g, "cm"],
  [/\bmillimet(?:er|re)s?\b/g, "mm"],
  [/\bkilomet(?:er|re)s?\b/g, "km"],
  [/\bmet(?:er|re)s?\b/g, "m"],
  [/\binch(?:es)?\b/g, "in"],
  [/\b(?:foot|feet)\b/g, "ft"],
  [/\b(?:hours?|hr)\b/g, "h"],
  [/\b(?:minutes?)\b/g, "min"],
  [/\b(?:seconds?|sec)\b/g, "s"],
  [/\bunits?(?:\^[23])?/g, ""],
  [/\b([a-z]{3,})s\b/g, "$1"],
];

function spelled(unit: string): string {
  let text = unit.toLowerCase().replace(/[{}.]/g, "").replace(/\s+/g, " ").trim();
  for (const [pattern, short] of shortForms) text = text.replace(pattern, short);
  return text.replaceAll(" ", "");
}
