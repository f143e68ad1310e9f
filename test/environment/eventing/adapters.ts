// Knative's own apiserver_receive_adapter, one process per ApiServerSource, configured as Knative's controller would do it.

import type { LooseObject } from '#test/support/loose-object.ts'
import type { Known } from '../faults/callers.ts'
import type { Api } from '../kubernetes/api.ts'
import { Program } from '../process/child.ts'

type AdapterOptions = {
  api: Api
  program: string
  leash: string
  logFolder: string
  kubeconfigOf: (source: LooseObject) => Promise<string>
  sinkOf: (source: LooseObject) => string
}

type Selector = { matchLabels?: Record<string, string>; matchExpressions?: Expression[] }
type Expression = { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }
type Watched = { apiVersion: string; kind: string; selector?: Selector }

export class Adapters {
  private readonly sources: LooseObject[]
  private readonly options: AdapterOptions
  private running: Program[] = []

  constructor(manifests: LooseObject[], options: AdapterOptions) {
    this.sources = manifests.filter((object) => object.kind === 'ApiServerSource')
    this.options = options
  }

  /** Resolves when every watch exists: the adapter reports itself ready before that. */
  async start(): Promise<void> {
    if (this.running.length > 0) return
    const before = await openWatches(this.options.api)
    this.running = await Promise.all(this.sources.map((source) => this.run(source)))
    await this.waitForWatches(before)
  }

  /** Events for changes made while the adapters are down are never sent. */
  async stop(): Promise<void> {
    await Promise.all(this.running.map((program) => program.kill()))
    this.running = []
  }

  /** SIGKILL; no events are sent for changes from now on. */
  async down(): Promise<void> {
    await this.stop()
  }

  /** Starts them as a Deployment does: without waiting for their watches. */
  async up(): Promise<void> {
    if (this.running.length === 0) this.running = await Promise.all(this.sources.map((source) => this.run(source)))
  }

  programs(): Known[] {
    return this.running.map(({ name, leashPid }) => ({ label: name, leashPid }))
  }

  get pids(): number[] {
    return this.running.map((program) => program.leashPid)
  }

  private async run(source: LooseObject): Promise<Program> {
    const { program, leash, logFolder, kubeconfigOf, sinkOf } = this.options
    const { name, namespace = 'default' } = source.metadata
    return await Program.start({
      name: `adapter-${name}`,
      leash,
      command: [program],
      logFolder,
      env: {
        NAME: name,
        NAMESPACE: namespace,
        SYSTEM_NAMESPACE: 'knative-eventing',
        KUBECONFIG: await kubeconfigOf(source),
        K_SINK: sinkOf(source),
        K_SOURCE_CONFIG: JSON.stringify(sourceConfig(source, await this.namespacesOf(source))),
        K_CE_OVERRIDES: JSON.stringify(source['spec'].ceOverrides ?? {}),
        K_LOGGING_CONFIG: JSON.stringify({ 'zap-logger-config': JSON.stringify(LOGGING) }),
        K_OBSERVABILITY_CONFIG: JSON.stringify({ metrics: { protocol: 'none' }, tracing: { protocol: 'none' } }),
        // The adapter's default of 5 a second protects a cluster; a test must not wait for it.
        KUBE_API_QPS: '50',
        KUBE_API_BURST: '100',
      },
    })
  }

  // In a cluster, a new namespace that fits a selector would restart the adapter; here it goes unnoticed.
  private async namespacesOf(source: LooseObject): Promise<string[]> {
    const selector = source['spec'].namespaceSelector as Selector | undefined
    if (selector === undefined) return [source.metadata.namespace ?? 'default']
    const query = `?${new URLSearchParams({ labelSelector: selectorText(selector) })}`
    return (await this.options.api.list('v1', 'Namespace', undefined, query)).map((object) => object.metadata.name)
  }

  // The adapter reports itself ready before any watch exists, so ask the API server which watches it serves.
  private async waitForWatches(before: Map<string, number>): Promise<void> {
    const wanted = new Map(before)
    for (const resource of this.sources.flatMap(watchedResources)) wanted.set(resource, (wanted.get(resource) ?? 0) + 1)
    const program = this.running[0]
    await program?.ready(async () => {
      const now = await openWatches(this.options.api)
      return [...wanted].every(([resource, count]) => (now.get(resource) ?? 0) >= count)
    })
  }
}

/** Watches that the API server serves now, by `<group>/<resource>`. */
async function openWatches(api: Api): Promise<Map<string, number>> {
  const { text } = await api.send('GET', '/metrics')
  const found = new Map<string, number>()
  for (const [, labels = '', count] of text.matchAll(/^apiserver_longrunning_requests\{(.*)\} (\d+)$/gm)) {
    if (!labels.includes('verb="WATCH"')) continue
    const resource = `${/group="([^"]*)"/.exec(labels)?.[1]}/${/resource="([^"]*)"/.exec(labels)?.[1]}`
    found.set(resource, (found.get(resource) ?? 0) + Number(count))
  }
  return found
}

function watchedResources(source: LooseObject): string[] {
  const resources = source['spec'].resources as Watched[]
  return resources.map(({ apiVersion, kind }) => `${groupVersion(apiVersion).Group}/${guessedPlural(kind)}`)
}

const LOGGING = { level: 'debug', encoding: 'json', outputPaths: ['stdout'], errorOutputPaths: ['stderr'] }

/** `K_SOURCE_CONFIG`; `namespaces` are those that match the source's selector, or its own namespace if it has none. */
export function sourceConfig(source: LooseObject, namespaces: string[]) {
  const { spec } = source
  return {
    namespaces,
    // An empty namespaceSelector means every namespace, future ones included.
    allNamespaces: spec.namespaceSelector !== undefined && selectorText(spec.namespaceSelector) === '',
    resources: (spec.resources as Watched[]).map(({ apiVersion, kind, selector }) => ({
      gvr: { ...groupVersion(apiVersion), Resource: guessedPlural(kind) },
      ...(selector === undefined ? {} : { selector: selectorText(selector) }),
    })),
    ...(spec.owner === undefined ? {} : { owner: spec.owner }),
    ...(spec.filters === undefined ? {} : { filters: spec.filters }),
    mode: spec.mode ?? 'Reference',
  }
}

/** A LabelSelector as Kubernetes writes it in a query; Knative passes the same text to its adapter. */
export function selectorText(selector: Selector): string {
  const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`)
  return [...labels, ...(selector.matchExpressions ?? []).map(expressionText)].join(',')
}

function expressionText({ key, operator, values = [] }: Expression): string {
  if (operator === 'Exists') return key
  if (operator === 'DoesNotExist') return `!${key}`
  return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.toSorted().join(',')})`
}

/** Knative uses no discovery: it guesses the plural, so it cannot watch a CRD with another plural. */
export function guessedPlural(kind: string): string {
  const lower = kind.toLowerCase()
  if (lower.endsWith('s')) return `${lower}es`
  return lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`
}

function groupVersion(apiVersion: string): { Group: string; Version: string } {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion]
  return { Group: group!, Version: version! }
}
