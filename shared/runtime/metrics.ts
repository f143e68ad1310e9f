// A function's metrics, in Prometheus' text form. These 100 lines replace prom-client, which would cost more start time than it saves here.
// A scrape misses pods that scale to zero anyway, so otlp.ts pushes the same numbers before the end.

type Labels = Readonly<Record<string, string>>
type Sample = { labels: Labels; value: number }
type Metric = Counter | Histogram

export class Counter {
  readonly type = 'counter'
  readonly name: string
  readonly help: string
  readonly #samples = new Map<string, Sample>()

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  add(labels: Labels, by = 1): void {
    const key = textOf(labels)
    const sample = this.#samples.get(key)
    if (sample === undefined) this.#samples.set(key, { labels, value: by })
    else sample.value += by
  }

  get(labels: Labels): number {
    return this.#samples.get(textOf(labels))?.value ?? 0
  }

  samples(): Sample[] {
    return [...this.#samples.values()]
  }

  lines(): string[] {
    return this.samples().map(({ labels, value }) => `${this.name}${textOf(labels)} ${value}`)
  }
}

type Spread = { labels: Labels; counts: number[]; count: number; sum: number }

export class Histogram {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly bounds: readonly number[]
  readonly #spreads = new Map<string, Spread>()

  /** `bounds`: upper limits of the buckets, ascending; a bucket without a limit is added. */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name
    this.help = help
    this.bounds = bounds
  }

  observe(labels: Labels, value: number): void {
    const key = textOf(labels)
    const empty = { labels, counts: new Array<number>(this.bounds.length + 1).fill(0), count: 0, sum: 0 }
    const spread = this.#spreads.get(key) ?? empty
    this.#spreads.set(key, spread)
    const bucket = this.bounds.findIndex((bound) => value <= bound)
    const index = bucket === -1 ? this.bounds.length : bucket
    spread.counts[index] = (spread.counts[index] ?? 0) + 1
    spread.count += 1
    spread.sum += value
  }

  spreads(): Spread[] {
    return [...this.#spreads.values()]
  }

  lines(): string[] {
    return this.spreads().flatMap(({ labels, counts, count, sum }) => {
      let below = 0
      const buckets = [...this.bounds, '+Inf'].map((bound, index) => {
        below += counts[index] ?? 0
        return `${this.name}_bucket${textOf({ ...labels, le: String(bound) })} ${below}`
      })
      return [...buckets, `${this.name}_sum${textOf(labels)} ${sum}`, `${this.name}_count${textOf(labels)} ${count}`]
    })
  }
}

/** The metrics of one function's process. */
export type Metrics = ReturnType<typeof createMetrics>

export function createMetrics() {
  const requests = new Counter('dormouse_requests_total', 'Events answered, by how they ended.')
  const wakeups = new Counter('dormouse_wakeups_total', 'Objects looked at, because of an event or of the sweep.')
  const slices = new Counter('dormouse_slices_total', 'Slices of a transfer, by how they ended.')
  const requestSeconds = new Histogram('dormouse_request_seconds', 'Time to an answer.', [0.1, 1, 10, 60, 300, 600])
  const all: Metric[] = [requests, wakeups, slices, requestSeconds]
  const render = () => all.map(metricText).join('')
  return { requests, wakeups, slices, requestSeconds, all, render }
}

function metricText(metric: Metric): string {
  return [`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`, ...metric.lines(), ''].join(
    '\n',
  )
}

/** `{a="1",b="2"}` with sorted names, so that it also serves as a key. */
function textOf(labels: Labels): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  if (pairs.length === 0) return ''
  return `{${pairs.map(([name, value]) => `${name}="${escaped(value)}"`).join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
