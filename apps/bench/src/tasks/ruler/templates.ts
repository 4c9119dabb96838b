/**
 * RULER's prompts, word for word, so that figures compare: NVIDIA/RULER, scripts/data/synthetic/constants.py and niah.py,
 * Copyright 2024 NVIDIA CORPORATION, Apache-2.0. A change of a character here makes another benchmark.
 */

/** One or several needles: RULER puts these into the singular when there is one answer. */
export function needlePrompt(values: "numbers" | "uuids", answers: number) {
  const many = answers > 1;
  const kind = many ? values : values.slice(0, -1);
  const are = many ? "are" : "is";
  return {
    needle: (key: string, value: string) => `One of the special magic ${values} for ${key} is: ${value}.`,
    text: (context: string, query: string) =>
      `${many ? "Some" : "A"} special magic ${kind} ${are} hidden within the following text. Make sure to memorize it. I will quiz you about the ${kind} afterwards.\n${context}\nWhat ${many ? "are all" : "is"} the special magic ${kind} for ${query} mentioned in the provided text?`,
    answerPrefix: (query: string) => ` The special magic ${kind} for ${query} mentioned in the provided text ${are}`,
  };
}

export const variableTracking = {
  text: (context: string, value: string) =>
    `Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n${context}\nQuestion: Find all variables that are assigned the value ${value} in the text above.`,
  answerPrefix: (value: string, variables: number) =>
    ` Answer: According to the chain(s) of variable assignment in the text above, ${variables} variables are assigned the value ${value}, they are: `,
};

export const commonWords = {
  text: (context: string) =>
    `Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.\n${context}\nQuestion: What are the 10 most common words in the above list?`,
  answerPrefix: " Answer: The top 10 words that appear most often in the list are:",
};

export const frequentWords = {
  text: (context: string) =>
    `Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. ${context}\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently appeared words in the above coded text?`,
  answerPrefix: " Answer: According to the coded text above, the three most frequently appeared words are:",
};

const onlyAnswer = "Answer the question based on the given documents. Only give me the answer and do not output any other words.";

export const questionAnswering = {
  document: (number: number, text: string) => `Document ${number}:\n${text}`,
  text: (context: string, question: string) =>
    `${onlyAnswer}\n\nThe following are given documents.\n\n${context}\n\n${onlyAnswer}\n\nQuestion: ${question}`,
  answerPrefix: " Answer:",
};
