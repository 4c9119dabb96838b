/** The value of a lazy, expensive thing: made when first asked for, closed at the end if it was made. */
export class Lazy<T> {
  #made: Promise<T> | undefined;

  constructor(
    readonly make: () => Promise<T>,
    readonly dispose: (value: T) => Promise<void>,
  ) {}

  get(): Promise<T> {
    this.#made ??= this.make();
    return this.#made;
  }

  async close(): Promise<void> {
    const made = await this.#made?.catch(() => undefined);
    if (made !== undefined) await this.dispose(made);
  }
}
