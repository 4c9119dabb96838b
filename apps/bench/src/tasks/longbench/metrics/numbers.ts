/** Metrics of the synthetic tasks: how many of the numbers in an output are the right one. */
import { FormatError } from "@infllm/tensor";

/** Share of the output's numbers that equal the answer; 0 without numbers. */
export function count(output: string, answer: string): number {
  const numbers = output.match(/\d+/g) ?? [];
  return numbers.length === 0 ? 0 : numbers.filter((number) => number === answer).length / numbers.length;
}

/** The same for the number of a paragraph. @throws FormatError when the answer names none */
export function retrieval(output: string, answer: string): number {
  const paragraph = /(?:Paragraph |段落)(\d+)/.exec(answer)?.[1];
  if (paragraph === undefined) {
    throw new FormatError(`The answer "${answer}" of a passage retrieval row names no paragraph; expected "Paragraph 3" or "段落3".`);
  }
  return count(output, paragraph);
}
