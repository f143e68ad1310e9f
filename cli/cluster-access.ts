// The command line's access to the cluster: the client that the functions use, plain GETs, and the list of Velero's BackupStorageLocations.

import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { findAccess } from '#shared/adapters/kube/find-access.ts'
import { createTransport } from '#shared/adapters/kube/transport.ts'
import type { BackupRepository, BackupStorageLocation, Secret } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { requireProved } from '#shared/controllers/repository-proof.ts'
import { locationDeps, presentRepository } from '#shared/controllers/storage-location.ts'
import type { StoreSpec } from '#shared/domain/store-rules.ts'
import { systemClock, withWallTime } from '#shared/kernel/clock.ts'
import { readSettings, type Settings } from '#shared/kernel/env.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { createStores } from '#shared/repository/stores/registry.ts'

export type ClusterFlags = { kubeconfig?: string; namespace?: string }

export type ClusterAccess = {
  get: (path: string) => Promise<{ status: number; body: unknown }>
  cluster: Cluster
  settings: Settings
  /** [] if Velero is not installed. */
  listLocations: () => Promise<BackupStorageLocation[]>
  readSecret: (name: string) => Promise<Secret | undefined>
  /** For shared code that is written for functions. */
  deps: StepDeps
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }

export function accessCluster(flags: ClusterFlags): ClusterAccess {
  const options = flags.kubeconfig === undefined ? {} : { kubeconfig: flags.kubeconfig }
  const env = flags.namespace === undefined ? {} : { DORMOUSE_VELERO_NAMESPACE: flags.namespace }
  const settings = readSettings({ ...process.env, ...env })
  const send = createTransport({ findAccess: () => findAccess(options) })
  const cluster = createCluster(options)
  const get = (path: string) => send({ method: 'GET', path })
  return {
    get,
    cluster,
    settings,
    listLocations: () => listLocations(get, settings.veleroNamespace),
    readSecret: (name) => cluster.read('Secret', settings.veleroNamespace, name),
    deps: {
      cluster,
      clock: withWallTime(systemClock, cluster),
      settings,
      stores: createStores(settings),
      identity: 'dormouse',
      log: SILENT,
    },
  }
}

async function listLocations(get: ClusterAccess['get'], namespace: string): Promise<BackupStorageLocation[]> {
  const { status, body } = await get(`/apis/velero.io/v1/namespaces/${namespace}/backupstoragelocations`)
  if (status === 404) return []
  if (status !== 200) {
    const message = `listing the BackupStorageLocations of ${namespace}: the API server answers HTTP ${status}`
    throw new TerminalError(status === 403 ? 'Forbidden' : 'KubernetesRefused', message)
  }
  return (body as { items?: BackupStorageLocation[] }).items ?? []
}

/** `repositoryId`: the repository that the store must hold, if the location points elsewhere by now. */
export type Named = { spec: StoreSpec; repositoryId: string | undefined }

/**
 * By the location's current spec. An operator's command opens no store that a tenant has chosen, either. RetryableError
 * `RepositoryNotProved`.
 */
export async function provedRepository(deps: StepDeps, repository: BackupRepository): Promise<Named> {
  await requireProved(deps, repository)
  const { spec, repositoryId } = await presentRepository(locationDeps(deps), repository)
  return { spec, repositoryId }
}

/** A location or a BackupRepository, by name. TerminalError `RepositoryNotFound`. */
export async function namedRepository(
  access: ClusterAccess,
  name: { location?: string; repository?: string },
): Promise<Named> {
  if (name.repository !== undefined) {
    const repository = await access.cluster.read('BackupRepository', undefined, name.repository)
    if (repository !== undefined) return await provedRepository(access.deps, repository)
    throw new TerminalError('RepositoryNotFound', `there is no BackupRepository ${name.repository}`)
  }
  const wanted = name.location ?? 'default'
  const locations = await access.listLocations()
  const location = locations.find(({ metadata }) => metadata.name === wanted)
  if (location !== undefined) return { spec: access.deps.stores.specOf(location), repositoryId: undefined }
  const names = locations.map(({ metadata }) => metadata.name).sort()
  const known = names.length === 0 ? 'there is none' : `there are ${names.join(', ')}`
  throw new TerminalError('RepositoryNotFound', `there is no BackupStorageLocation ${wanted}; ${known}`)
}
