// Remembers how to end what was begun. Ends run in reverse order of the beginnings, all of them, also when one fails.

export class Cleanups {
  private steps: { name: string; act: () => Promise<void> }[] = []

  add(name: string, act: () => Promise<void>): void {
    this.steps.push({ name, act })
  }

  /** A second call finds nothing left to do. */
  async run(): Promise<void> {
    const problems: Error[] = []
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      const { name, act } = step
      await act().catch((cause: unknown) => problems.push(new Error(`could not end ${name}: ${cause}`, { cause })))
    }
    if (problems.length > 0) throw new AggregateError(problems, problems.map((problem) => problem.message).join('; '))
  }
}
