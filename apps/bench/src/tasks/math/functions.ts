import type { Complex } from "complex.js";

/** Functions of one argument by their LaTeX names. */
export const functions: Readonly<Record<string, (of: Complex) => Complex>> = {
  "\\sin": (of) => of.sin(),
  "\\cos": (of) => of.cos(),
  "\\tan": (of) => of.tan(),
  "\\cot": (of) => of.cot(),
  "\\sec": (of) => of.sec(),
  "\\csc": (of) => of.csc(),
  "\\arcsin": (of) => of.asin(),
  "\\arccos": (of) => of.acos(),
  "\\arctan": (of) => of.atan(),
  "\\sinh": (of) => of.sinh(),
  "\\cosh": (of) => of.cosh(),
  "\\tanh": (of) => of.tanh(),
  "\\exp": (of) => of.exp(),
  "\\ln": (of) => of.log(),
};

/** What `\sin^{-1}` and its kind mean: the inverse function, not the reciprocal. */
export const inverses: Readonly<Record<string, string>> = { "\\sin": "\\arcsin", "\\cos": "\\arccos", "\\tan": "\\arctan" };
