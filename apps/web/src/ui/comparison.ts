/** One question answered dense and sparse, side by side. */
import type { Answer, Comparison } from "../engine/protocol.ts";
import { Said, verdict } from "./answers.ts";
import { make } from "./elements.ts";
import { count, duration, rate, times } from "./numbers.ts";

export type SideName = "dense" | "sparse";

interface Side {
  readonly said: Said;
  readonly bars: HTMLElement;
  readonly element: HTMLElement;
}

export class ComparisonTurn {
  readonly #sides: Readonly<Record<SideName, Side>> = { dense: side("dense"), sparse: side("sparse") };
  readonly #told = make("p", { class: "told", role: "status" });
  readonly element: HTMLElement;

  constructor(question: string) {
    const sides = make("div", { class: "sides" }, this.#sides.dense.element, this.#sides.sparse.element);
    this.element = make("article", { class: "turn" }, make("p", { class: "asked" }, question), this.#told, sides);
  }

  tell(line: string): void {
    this.#told.textContent = line;
  }

  write(name: SideName, piece: string): void {
    this.#sides[name].said.write(piece);
  }

  /** Takes the marks of writing away, when it ends early. */
  end(): void {
    for (const { said } of Object.values(this.#sides)) said.end();
  }

  show({ dense, sparse }: Comparison, expected: string | undefined): void {
    const faster = dense.stats.prefillSeconds / sparse.stats.prefillSeconds;
    const answers = dense.text === sparse.text ? "gave the same answer" : "gave another answer";
    if (faster >= 1) this.tell(`Sparse read ${times(faster)} as fast and ${answers}.`);
    else this.tell(`Sparse took ${times(1 / faster)} as long to read and ${answers}. On short texts choosing blocks costs more than it saves; try a longer one.`);
    this.#fill("dense", dense, dense, expected);
    this.#fill("sparse", sparse, dense, expected);
  }

  #fill(name: SideName, answer: Answer, most: Answer, expected: string | undefined): void {
    const { said, bars } = this.#sides[name];
    said.end(answer.text);
    const { stats } = answer;
    const speed = ({ generatedTokens, decodeSeconds }: Answer["stats"]) => (generatedTokens - 1) / Math.max(decodeSeconds, 1e-9);
    const fastest = Math.max(speed(stats), speed(most.stats));
    bars.replaceChildren(
      bar("Reading", duration(stats.prefillSeconds), stats.prefillSeconds / most.stats.prefillSeconds),
      bar("Writing", rate(stats.generatedTokens - 1, stats.decodeSeconds), speed(stats) / fastest),
      bar("Last query saw", `${count(stats.visibleTokens)} tokens`, stats.visibleTokens / most.stats.visibleTokens),
    );
    if (expected !== undefined) bars.append(verdict(answer.text === expected));
  }
}

function side(name: SideName): Side {
  const said = new Said();
  const bars = make("div", { class: "bars" });
  const title = make("h3", {}, name === "dense" ? "Dense" : "Sparse");
  const element = make("section", { class: "side", "data-side": name, "aria-label": `${title.textContent} attention` }, title, said.element, bars);
  return { said, bars, element };
}

function bar(name: string, value: string, share: number): HTMLElement {
  const filled = make("i");
  filled.style.width = `${Math.min(1, share) * 100}%`;
  return make("div", {}, make("p", { class: "bar-line" }, name, make("b", {}, value)), make("span", { class: "bar", "aria-hidden": "true" }, filled));
}
