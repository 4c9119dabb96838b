/** LaTeX and plain formulas as functions of their variables, to be compared by value. */
import { Complex } from "complex.js";
import { functions, inverses } from "./functions.ts";

/** Values of variables by name. */
export type Variables = ReadonlyMap<string, Complex>;
export type Expression = (variables: Variables) => Complex;

export interface Parsed {
  readonly value: Expression;
  readonly variables: ReadonlySet<string>;
}

/**
 * Reads sums, products (written or implied), powers, `\frac`, `\sqrt`, factorials, binomials, absolute values, mixed
 * numbers and the usual functions. `i` is the imaginary unit, `e` Euler's number.
 * @returns undefined for anything else
 */
export function parseExpression(text: string): Parsed | undefined {
  const parser = new Parser(tokensOf(text));
  const value = parser.whole();
  return value === undefined ? undefined : { value, variables: parser.variables };
}

const tokenPattern = /\d+(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|\\.|[a-zA-Z]|[^\s]/g;

function tokensOf(text: string): string[] {
  return text.match(tokenPattern) ?? [];
}

/** Thrown inside the parser only, where the text is no expression that it knows. */
class Unreadable extends Error {}

const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}", "\\{": "\\}" };
const constants: Readonly<Record<string, Complex>> = {
  "\\pi": new Complex(Math.PI),
  e: new Complex(Math.E),
  i: new Complex(0, 1),
};

class Parser {
  readonly variables = new Set<string>();
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  whole(): Expression | undefined {
    try {
      const value = this.#sum();
      return this.#at === this.#tokens.length ? value : undefined;
    } catch (error) {
      if (error instanceof Unreadable) return undefined;
      throw error;
    }
  }

  get #next(): string | undefined {
    return this.#tokens[this.#at];
  }

  #take(token: string): boolean {
    if (this.#next !== token) return false;
    this.#at++;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw new Unreadable(token);
  }

  #sum(): Expression {
    let left = this.#product();
    for (;;) {
      if (this.#take("+")) left = combine(left, this.#product(), (a, b) => a.add(b));
      else if (this.#take("-")) left = combine(left, this.#product(), (a, b) => a.sub(b));
      else return left;
    }
  }

  #product(): Expression {
    let left = this.#signed();
    for (;;) {
      if (this.#take("\\cdot") || this.#take("*")) left = combine(left, this.#signed(), (a, b) => a.mul(b));
      else if (this.#take("/") || this.#take("\\div") || this.#take("÷")) left = combine(left, this.#signed(), (a, b) => a.div(b));
      else if (this.#startsFactor()) left = combine(left, this.#power(), (a, b) => a.mul(b));
      else return left;
    }
  }

  #signed(): Expression {
    if (this.#take("-")) {
      const value = this.#signed();
      return (variables) => value(variables).neg();
    }
    return this.#take("+") ? this.#signed() : this.#power();
  }

  /** Whether a factor may follow without a sign of multiplication. Two numbers side by side are none. */
  #startsFactor(): boolean {
    const token = this.#next;
    if (token === undefined || /^[\d.]/.test(token)) return false;
    return /^[a-zA-Z({[]$/.test(token) || token in constants || token in functions || /^\\(?:frac|sqrt|binom|lvert|log|lg|\{|alpha|beta|gamma|theta|lambda|mu|phi|omega)$/.test(token);
  }

  #power(): Expression {
    let base = this.#atom();
    for (;;) {
      if (this.#take("!")) {
        const of = base;
        base = (variables) => factorial(of(variables));
      } else if (this.#take("^")) base = combine(base, this.#argument(), (a, b) => a.pow(b));
      else return base;
    }
  }

  /** What follows a command: braces, or one token, of a number its first digit. */
  #argument(): Expression {
    if (this.#next === "{") return this.#group();
    const digits = /^\d+$/.exec(this.#next ?? "")?.[0];
    if (digits === undefined || digits.length === 1) return this.#take("-") ? this.#negated() : this.#atom();
    // `\frac12` has two arguments in one number token.
    (this.#tokens as string[]).splice(this.#at, 1, ...digits);
    return this.#atom();
  }

  #negated(): Expression {
    const value = this.#atom();
    return (variables) => value(variables).neg();
  }

  #group(): Expression {
    const open = this.#next ?? "";
    const close = closing[open];
    if (close === undefined) throw new Unreadable(open);
    this.#at++;
    const value = this.#sum();
    this.#expect(close);
    return value;
  }

  #atom(): Expression {
    const token = this.#next;
    if (token === undefined) throw new Unreadable("end");
    if (token in closing) return this.#group();
    if (/^[\d.]/.test(token)) return this.#number();
    this.#at++;
    const constant = constants[token];
    if (constant !== undefined && this.#next !== "_") return () => constant;
    if (token === "|" || token === "\\lvert") return this.#absolute(token === "|" ? "|" : "\\rvert");
    if (token === "\\frac") return combine(this.#argument(), this.#argument(), (a, b) => a.div(b));
    if (token === "\\binom") return combine(this.#argument(), this.#argument(), binomial);
    if (token === "\\sqrt") return this.#root();
    if (token === "\\log" || token === "\\lg") return this.#logarithm();
    if (token in functions) return this.#call(token);
    if (/^[a-zA-Z]$/.test(token) || /^\\(?:alpha|beta|gamma|theta|lambda|mu|phi|omega)$/.test(token)) return this.#variable(token);
    throw new Unreadable(token);
  }

  /** A number, or a mixed one: `3\frac{1}{2}` is 3.5. */
  #number(): Expression {
    const text = this.#next ?? "";
    const mixed = /^\d+$/.test(text) ? this.#fractionBehind() : undefined;
    this.#at++;
    const whole = new Complex(Number(text));
    if (mixed === undefined) return () => whole;
    this.#at++;
    return combine(combine(this.#argument(), this.#argument(), (a, b) => a.div(b)), () => whole, (a, b) => a.add(b));
  }

  /** Truthy when a `\frac` of two whole numbers follows the token. */
  #fractionBehind(): true | undefined {
    const rest = this.#tokens.slice(this.#at + 1, this.#at + 8).join(" ");
    return /^\\frac (?:\{ \d+ \} \{ \d+ \}|\d\d(?!\d)|\d \d|\d \{ \d+ \}|\{ \d+ \} \d)/.test(rest) ? true : undefined;
  }

  #absolute(close: string): Expression {
    const value = this.#sum();
    this.#expect(close);
    return (variables) => new Complex(value(variables).abs());
  }

  #root(): Expression {
    let degree: Expression = () => new Complex(2);
    if (this.#take("[")) {
      degree = this.#sum();
      this.#expect("]");
    }
    return combine(this.#argument(), degree, root);
  }

  #logarithm(): Expression {
    const base: Expression = this.#take("_") ? this.#argument() : () => new Complex(10);
    return combine(this.#power(), base, (a, b) => a.log().div(b.log()));
  }

  /** `\sin^2 x` and `\sin(x)`; without brackets the argument is the product up to the next function, as in `\sin 2x`. */
  #call(name: string): Expression {
    const inverse = inverses[name];
    const isInverse = inverse !== undefined && this.#tokens.slice(this.#at, this.#at + 5).join("") === "^{-1}";
    if (isInverse) this.#at += 5;
    const apply = functions[isInverse ? inverse : name];
    if (apply === undefined) throw new Unreadable(name);
    const exponent = this.#take("^") ? this.#argument() : undefined;
    const argument = this.#next !== undefined && this.#next in closing ? this.#group() : this.#bareArgument();
    const value: Expression = (variables) => apply(argument(variables));
    return exponent === undefined ? value : combine(value, exponent, (a, b) => a.pow(b));
  }

  #bareArgument(): Expression {
    let argument = this.#power();
    while (this.#startsFactor() && !(this.#next !== undefined && this.#next in functions)) {
      argument = combine(argument, this.#power(), (a, b) => a.mul(b));
    }
    return argument;
  }

  #variable(letter: string): Expression {
    let name = letter;
    if (this.#take("_")) {
      const from = this.#at;
      this.#argument();
      name += `_${this.#tokens.slice(from, this.#at).join("").replace(/[{}]/g, "")}`;
    }
    this.variables.add(name);
    return (variables) => variables.get(name) ?? new Complex(Number.NaN);
  }
}

function combine(a: Expression, b: Expression, operation: (a: Complex, b: Complex) => Complex): Expression {
  return (variables) => operation(a(variables), b(variables));
}

/** The real root of a negative number where the degree is odd, else the principal root. */
function root(of: Complex, degree: Complex): Complex {
  if (of.im === 0 && degree.im === 0 && of.re < 0 && degree.re % 2 === 1) return new Complex(-((-of.re) ** (1 / degree.re)));
  return degree.re === 2 && degree.im === 0 ? of.sqrt() : of.pow(new Complex(1).div(degree));
}

function factorial(value: Complex): Complex {
  if (value.im !== 0 || !Number.isInteger(value.re) || value.re < 0 || value.re > 170) return new Complex(Number.NaN);
  let product = 1;
  for (let factor = 2; factor <= value.re; factor++) product *= factor;
  return new Complex(product);
}

function binomial(from: Complex, count: Complex): Complex {
  return factorial(from).div(factorial(count).mul(factorial(from.sub(count))));
}
