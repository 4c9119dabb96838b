/** The book of `infllm demo`. This file lies directly in src/, as its built form does in dist/. */
export const demoText = new URL("../data/moby-dick.txt", import.meta.url);
