// What a cluster has in which Velero's CSI feature works: the kinds of the snapshot controller, and a stand-in for it and for the driver's
// snapshotter, which makes no disk snapshot. Only the fields that Velero reads.

import type { KubeObject } from '#shared/api/kinds.ts'
import { CSI_DRIVER } from '#shared/domain/volume.ts'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'

const GROUP = 'snapshot.storage.k8s.io'
const API = `${GROUP}/v1`
const LOOK_EVERY_MS = 200

type Names = { kind: string; plural: string; scope: 'Namespaced' | 'Cluster' }
const KINDS: Names[] = [
  { kind: 'VolumeSnapshot', plural: 'volumesnapshots', scope: 'Namespaced' },
  { kind: 'VolumeSnapshotContent', plural: 'volumesnapshotcontents', scope: 'Cluster' },
  { kind: 'VolumeSnapshotClass', plural: 'volumesnapshotclasses', scope: 'Cluster' },
]

function crd({ kind, plural, scope }: Names): KubeObject {
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

/** Velero learns of new kinds when it starts. */
export async function serveSnapshotKinds(environment: Environment): Promise<void> {
  for (const names of KINDS) await environment.api.apply(crd(names))
  await until('the kinds are served', async () => {
    const lists = KINDS.map(({ kind }) => environment.api.list(API, kind))
    return (await Promise.allSettled(lists)).every(({ status }) => status === 'fulfilled')
  })
  await environment.parts.velero?.down()
  await environment.parts.velero?.up()
}

export function snapshotClass(name: string): KubeObject {
  return {
    apiVersion: API,
    kind: 'VolumeSnapshotClass',
    metadata: { name },
    driver: CSI_DRIVER,
    deletionPolicy: 'Delete',
  }
}

export async function volumeSnapshots(environment: Environment, namespace: string): Promise<KubeObject[]> {
  return await environment.api.list(API, 'VolumeSnapshot', namespace)
}

/** Makes each VolumeSnapshot ready. */
export class Snapshotter {
  /** Names of those that it has seen, as Velero removes them at the end of a Backup. */
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
      const all: KubeObject[] = await this.#environment.api.list(API, 'VolumeSnapshot')
      for (const each of all) if (each['status'] === undefined) await this.#take(each)
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  async #take(snapshot: KubeObject): Promise<void> {
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
