/** The last fenced block of an answer: what the model settled on. Undefined without one; a block cut off at the end counts. */
export function lastCodeBlock(output: string): string | undefined {
  const blocks = [...output.matchAll(/^[ \t]*```[ \t]*([\w+-]*)[ \t]*\n([\s\S]*?)(?:^[ \t]*```[ \t]*$|$(?![\s\S]))/gm)];
  const python = blocks.filter(([, language = ""]) => language === "" || /^(?:python3?|py)$/i.test(language));
  return python.at(-1)?.[2];
}
