/**
 * The wordings that the embedded model was trained on (packages/tiny-model/training/train.py), for the RULER tasks that
 * have one. Haystacks, counts, needles' places and scores are RULER's; only the sentences differ, keys are single nouns
 * and variables a letter with two digits. Figures in this style are comparable among themselves, never with RULER's.
 */

export const tinyNeedle = {
  needle: (key: string, value: string) => `The special magic number for ${key} is: ${value}.`,
  one: (context: string, key: string) => `${context}\n\nWhat is the special magic number for ${key} mentioned in the text above?`,
  allOf: (context: string, key: string) => `${context}\n\nWhat are all the special magic numbers for ${key} mentioned in the text above?`,
  each: (context: string, keys: string) => `${context}\n\nWhat are the special magic numbers for ${keys}?`,
};

export const tinyVariables = {
  assignment: (name: string, right: string) => `VAR ${name} = ${right}.`,
  text: (context: string, value: string) =>
    `${context}\n\nFind all variables that are assigned the value ${value} in the text above.`,
};
