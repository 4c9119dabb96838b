/**
 * 1 divided by the number of classes that the output names, if the right one is among them, else 0. Names that are only
 * part of the right class's name ("Other location" names "location") do not count as named.
 */
export function classification(output: string, answer: string, classes: readonly string[]): number {
  const named = classes.filter((name) => output.includes(name) && (name === answer || !answer.includes(name)));
  return named.includes(answer) ? 1 / named.length : 0;
}
