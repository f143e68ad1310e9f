// Collects the clean-ups of everything that was started. They run in reverse order, and all of them run even when one fails.

export class Cleanups {
  private steps: { name: string; act: () => Promise<void> }[] = []

  add(name: string, act: () => Promise<void>): void {
    this.steps.push({ name, act })
  }

  /** A second call does nothing. */
  async run(): Promise<void> {
    const problems: Error[] = []
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      const { name, act } = step
      await act().catch((cause: unknown) => problems.push(new Error(`could not end ${name}: ${cause}`, { cause })))
    }
    if (problems.length > 0) throw new AggregateError(problems, problems.map((problem) => problem.message).join('; '))
  }
}
