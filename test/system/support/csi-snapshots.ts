// What Velero's CSI feature needs in a cluster: the kinds of the snapshot controller, and a stand-in for that controller and for the driver's
// snapshotter. The stand-in makes no disk snapshot. Only the fields that Velero reads exist.

import { CSI_DRIVER } from '#shared/domain/volume.ts'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const GROUP = 'snapshot.storage.k8s.io'
const API = `${GROUP}/v1`
const LOOK_EVERY_MS = 200

type Names = { kind: string; plural: string; scope: 'Namespaced' | 'Cluster' }
const KINDS: Names[] = [
  { kind: 'VolumeSnapshot', plural: 'volumesnapshots', scope: 'Namespaced' },
  { kind: 'VolumeSnapshotContent', plural: 'volumesnapshotcontents', scope: 'Cluster' },
  { kind: 'VolumeSnapshotClass', plural: 'volumesnapshotclasses', scope: 'Cluster' },
]

function crd({ kind, plural, scope }: Names): LooseObject {
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
  const subresources = kind === 'VolumeSnapshotClass' ? {} : { status: {} }
  const version = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema }, subresources }
  const annotations = { 'api-approved.kubernetes.io': 'unapproved, a stand-in of a test' }
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}`, annotations },
    spec: { group: GROUP, scope, names: { kind, plural, singular: kind.toLowerCase() }, versions: [version] },
  }
}

/** Velero discovers kinds only when it starts. */
export async function serveSnapshotKinds(environment: Environment): Promise<void> {
  const { api } = environment
  for (const names of KINDS) {
    const { apiVersion, kind, metadata } = await api.apply(crd(names))
    await until(`${names.plural} are served`, async () => {
      const conditions: { type: string; status: string }[] =
        (await api.get({ apiVersion, kind, name: metadata.name }))?.['status']?.conditions ?? []
      return conditions.some(({ type, status }) => type === 'Established' && status === 'True')
    })
    // Asked for only now, because the client remembers that a group is missing. Even then the API server may still say that its storage is
    // being made.
    const isListed = async () => (await Promise.allSettled([api.list(API, names.kind)]))[0].status === 'fulfilled'
    await until(`${names.plural} are listed`, isListed)
  }
  await environment.parts.velero?.down()
  await environment.parts.velero?.up()
}

export function snapshotClass(name: string): LooseObject {
  return {
    apiVersion: API,
    kind: 'VolumeSnapshotClass',
    metadata: { name },
    driver: CSI_DRIVER,
    deletionPolicy: 'Delete',
  }
}

/** Makes each VolumeSnapshot ready. */
export class Snapshotter {
  /** Names of all VolumeSnapshots so far, as Velero removes them at the end of a Backup. */
  readonly taken: string[] = []
  readonly #environment: Environment
  #isStopped = false
  #work: Promise<void> = Promise.resolve()

  static start(environment: Environment): Snapshotter {
    const snapshotter = new Snapshotter(environment)
    snapshotter.#work = snapshotter.#run()
    return snapshotter
  }

  private constructor(environment: Environment) {
    this.#environment = environment
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#work
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const all: LooseObject[] = await this.#environment.api.list(API, 'VolumeSnapshot')
      for (const each of all) if (each['status'] === undefined) await this.#take(each)
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  async #take(snapshot: LooseObject): Promise<void> {
    const { api } = this.#environment
    const { namespace = '', name, uid } = snapshot.metadata
    const content = `snapcontent-${uid}`
    this.taken.push(`${namespace}/${snapshot['spec'].source.persistentVolumeClaimName}`)
    const reference = { apiVersion: API, kind: 'VolumeSnapshot', namespace, name, uid }
    const spec = {
      driver: CSI_DRIVER,
      deletionPolicy: 'Delete',
      source: { volumeHandle: 'x' },
      volumeSnapshotRef: reference,
    }
    await api.create({ apiVersion: API, kind: 'VolumeSnapshotContent', metadata: { name: content }, spec })
    const at = { apiVersion: API, kind: 'VolumeSnapshotContent', name: content }
    await api.patch(at, { status: { snapshotHandle: `handle-${uid}`, readyToUse: true } }, 'status')
    const status = { boundVolumeSnapshotContentName: content, readyToUse: true }
    await api.patch({ apiVersion: API, kind: 'VolumeSnapshot', namespace, name }, { status }, 'status')
  }
}

/** Velero checks whether its data mover runs: one ready Pod of its DaemonSet. Here the Pod exists, but does nothing. */
export async function readyNodeAgent({ api }: Environment): Promise<void> {
  const labels = { name: 'node-agent' }
  const template = { metadata: { labels }, spec: { containers: [{ name: 'node-agent', image: 'none' }] } }
  const metadata = { name: 'node-agent', namespace: 'velero' }
  const spec = { selector: { matchLabels: labels }, template }
  await api.create({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec })
  const counts = { numberReady: 1, currentNumberScheduled: 1, desiredNumberScheduled: 1, numberMisscheduled: 0 }
  await api.patch({ apiVersion: 'apps/v1', kind: 'DaemonSet', ...metadata }, { status: counts }, 'status')
}

/** Waits for a DataUpload, and ends it as the data mover does when all data is in the bucket. Returns the claims that it was for. */
export async function endDataUpload({ api }: Environment): Promise<string[]> {
  const list = async (): Promise<LooseObject[]> => await api.list('velero.io/v2alpha1', 'DataUpload', 'velero')
  await until('Velero asks its data mover', async () => (await list()).length > 0, 60_000)
  const found = await list()
  for (const { apiVersion, kind, metadata } of found) {
    const at = { apiVersion, kind, namespace: 'velero', name: metadata.name }
    const completionTimestamp = new Date().toISOString()
    await api.patch(at, { status: { phase: 'Completed', snapshotID: 'x', completionTimestamp } })
  }
  return found.map(({ spec }) => `${spec.sourceNamespace}/${spec.sourcePVC}`)
}
