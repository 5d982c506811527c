/** Limits the number of processes at a time; first come, first served, as far as they fit. */
export class Room {
  #free: number;
  readonly #waiting: { readonly size: number; readonly enter: () => void }[] = [];

  constructor(size: number) {
    this.#free = size;
  }

  async use<T>(size: number, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((enter) => {
      this.#waiting.push({ size, enter });
      this.#admit();
    });
    try {
      return await work();
    } finally {
      this.#free += size;
      this.#admit();
    }
  }

  #admit(): void {
    for (const next of [...this.#waiting]) {
      if (next.size > this.#free) continue;
      this.#free -= next.size;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      next.enter();
    }
  }
}
