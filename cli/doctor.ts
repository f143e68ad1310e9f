// `dormouse doctor`: checks everything that a backup and a restore need, and says what to fix.

import { realpath } from 'node:fs/promises'
import net from 'node:net'
import type { BackupRepository, BackupStorageLocation } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { DEFAULT_ENCRYPTION_SECRET } from '#shared/domain/secret-purposes.ts'
import type { StoreSpec } from '#shared/domain/store-rules.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { probeVCenter } from '#shared/providers/vsphere/probe.ts'
import { probeConditionalPut } from '#shared/repository/core/conditional-put.ts'
import { loadVSphereConfig, wireVolumes } from '#shared/wiring/volumes.ts'
import { checkChangeTracking } from './checks/change-tracking.ts'
import { checkCluster } from './checks/cluster.ts'
import { checkCsiFeature } from './checks/csi-feature.ts'
import { checkFlavor } from './checks/flavor.ts'
import { checkNodes } from './checks/nodes.ts'
import { checkPorts, type Port } from './checks/ports.ts'
import { checkRepositoryKeys } from './checks/repository-key.ts'
import { checkStores, type StoreToCheck } from './checks/stores.ts'
import { checkVCenters } from './checks/vcenters.ts'
import { checkVddk } from './checks/vddk.ts'
import { accessCluster, type ClusterAccess, type ClusterFlags, provedRepository } from './cluster-access.ts'
import { listEsxiHosts } from './esxi-hosts.ts'
import { type Finding, note, problemOf } from './finding.ts'
import { openNamedStore } from './open-store.ts'

export type DoctorFlags = ClusterFlags & { esxiHost?: string[]; vddkDir?: string }

const CONNECT_TIMEOUT_MS = 5000

/** Yields the findings of each check as soon as it is done, always in the same order. */
export async function* examine(flags: DoctorFlags): AsyncGenerator<Finding> {
  const access = accessCluster(flags)
  const found = await checkCluster(access)
  yield* found
  if (found.some(({ check, level }) => check === 'cluster' && level === 'problem')) {
    yield note('cluster', '', 'all that needs the cluster is not looked at')
  } else {
    for (const check of clusterChecks(access, flags)) yield* await check()
  }
  const dir = flags.vddkDir ?? access.settings.vddkDir
  yield* await checkVddk({ dir, find: findLibrary, realPath: realpath })
}

/** Loaded late: a machine that only checks from outside needs no native package. */
async function findLibrary(dir: string): Promise<string> {
  return (await import('#shared/providers/vddk/library.ts')).findVddk(dir)
}

/** In the order in which they are reported. */
export function clusterChecks(access: ClusterAccess, flags: DoctorFlags): (() => Promise<Finding[]>)[] {
  const { cluster, settings, deps } = access
  const loadConfig = () => loadVSphereConfig(deps)
  return [
    () => checkFlavor({ cluster, namespace: settings.veleroNamespace }),
    () => checkCsiFeature({ cluster, namespace: settings.veleroNamespace }),
    () => checkNodes({ listNodes: () => cluster.list('Node') }),
    () => checkRepositories(access),
    () =>
      checkVCenters({
        loadConfig,
        probe: (vcenter) => probeVCenter(vcenter, systemClock),
        clusterId: settings.clusterId,
      }),
    () => checkPorts({ vcenterPorts: () => vcenterPorts(access), esxiHosts: () => esxiHosts(access, flags), connect }),
    () => checkTracking(access),
  ]
}

async function checkRepositories(access: ClusterAccess): Promise<Finding[]> {
  const listRepositories = () => access.cluster.list('BackupRepository')
  try {
    const [locations, repositories] = await Promise.all([access.listLocations(), listRepositories()])
    const sources = sourcesOf(access.deps, locations, repositories)
    const secretNames = new Set([DEFAULT_ENCRYPTION_SECRET, ...repositories.map(encryptionSecretName)])
    const { readSecret, deps } = access
    const stores: StoreToCheck[] = sources.map(({ spec, ...source }) => ({
      ...source,
      open: async () => await openNamedStore(deps.stores, await spec(), readSecret),
    }))
    const keys = await checkRepositoryKeys({ secretNames: [...secretNames], readSecret, listRepositories })
    const none =
      stores.length === 0 ? [note('store', '', 'there is neither a BackupStorageLocation nor a BackupRepository')] : []
    return [...keys, ...(await checkStores({ stores, probeConditionalPut })), ...none]
  } catch (error) {
    return [problemOf('store', '', error)]
  }
}

type Source = { subject: string; spec: () => Promise<StoreSpec>; readOnly?: boolean }

/** Locations of other providers hold no volumes of Dormouse. */
function sourcesOf(deps: StepDeps, locations: BackupStorageLocation[], repositories: BackupRepository[]): Source[] {
  const usable = locations.filter((location) => deps.stores.isUsable(location))
  return [
    ...usable.map((location) => ({
      subject: `location ${location.metadata.name}`,
      spec: async () => deps.stores.specOf(location),
      readOnly: location.spec?.accessMode === 'ReadOnly',
    })),
    ...repositories.map((repository) => ({
      subject: `repository ${repository.metadata.name}`,
      spec: async () => (await provedRepository(deps, repository)).spec,
    })),
  ]
}

function encryptionSecretName(repository: BackupRepository): string {
  return repository.repopsitoryParameters?.['encryptionSecretName'] || DEFAULT_ENCRYPTION_SECRET
}

async function vcenterPorts({ deps }: ClusterAccess): Promise<Port[]> {
  const { vcenters } = await loadVSphereConfig(deps)
  return vcenters.map(({ host, port }) => ({ host, port, what: 'vCenter' }))
}

async function esxiHosts({ deps }: ClusterAccess, flags: DoctorFlags): Promise<string[]> {
  if (flags.esxiHost !== undefined) return flags.esxiHost
  const { vcenters } = await loadVSphereConfig(deps)
  const hosts = await Promise.all(vcenters.map((vcenter) => listEsxiHosts(vcenter, systemClock)))
  return [...new Set(hosts.flat())]
}

async function checkTracking({ cluster, deps }: ClusterAccess): Promise<Finding[]> {
  const { volumes } = wireVolumes(deps)
  try {
    return await checkChangeTracking({
      listVolumes: () => cluster.list('PersistentVolume'),
      describe: (fcdId) => volumes.describe(fcdId),
    })
  } finally {
    await volumes.close()
  }
}

function connect(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, timeout: CONNECT_TIMEOUT_MS })
    const end = (act: () => void) => {
      socket.destroy()
      act()
    }
    socket.once('connect', () => end(resolve))
    socket.once('timeout', () => end(() => reject(new Error(`no answer in ${CONNECT_TIMEOUT_MS} ms`))))
    socket.once('error', (error) => end(() => reject(error)))
  })
}
