// What a test or a user may choose about an environment. Every field has a default that suits `make up`.

import path from 'node:path'
import { MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { Parts } from './environment.ts'
import { PROJECT } from './process/tools.ts'

export type EnvironmentOptions = {
  /** Where state, logs and kubeconfig go; a new temporary folder without it. Removed at the end unless `keepFolder`. */
  folder?: string
  keepFolder?: boolean
  /** Folders, files or kustomizations that are applied (`cluster`) or read as Knative's objects (`services`, `eventing`). */
  manifests?: Partial<Manifests>
  /** Folder with the bundles that the Knative Services' commands name. */
  bundles?: string
  /** Variables of every function; they override the manifests. */
  env?: Record<string, string>
  /** Variables of one function, by its step (`upload`); they override `env`. */
  envOf?: Record<string, Record<string, string>>
  /** Transfers at one time: the most instances of the heavy functions, and DORMOUSE_MOVERS. Default: as in the manifests. */
  movers?: number
  /** An instance that had no request for so long is stopped. */
  idleMs?: number
  /** Replaces the schedule of the PingSource with that name. 0: it never fires by itself. */
  pingEveryMs?: Record<string, number>
  /** false: the event sources are not started; `startAdapters()` does it later. */
  adapters?: boolean
  /** false: the functions' addresses are not served. */
  functions?: boolean
  /** The S3 server speaks TLS with a certificate of the environment's own authority. */
  s3Tls?: boolean
  /** Serves Knative's own CRDs, for dry runs of manifests; no controller acts on their objects. */
  knativeCrds?: boolean
  /** The functions find a service account's files instead of a kubeconfig, as in a pod. */
  podAccess?: boolean
  /** The controller that counts for ResourceQuotas runs too; without it no quota refuses anything. */
  quota?: boolean
  /** Fault proxies stand in front of S3, vCenter and the API server, and functions have a clock that can be set (`parts.faults`). */
  faults?: boolean
  /** A real Velero server with its CRDs, over the environment's bucket (`parts.velero`). */
  velero?: VeleroOptions
  clusterId?: string
  /**
   * The parts of another environment, which lives longer. This environment is then another cluster, with a `clusterId` of its own, over the
   * same vCenter, disks, S3 server and repository key. If the other one has `faults`, S3 and vCenter are reached through its proxies.
   */
  beside?: Neighbour
  say?: (line: string) => void
}

type Neighbour = Pick<Parts, 's3' | 'vcenter' | 'repositoryKey' | 'faults'>

export type VeleroOptions = {
  /** Files that are copied into the server's plugins folder beside the object store's plugin; folders with their content. */
  plugins?: string[]
  /** Flags of `velero server` by their name; they override velero/server.ts. */
  flags?: Record<string, string>
  /** Variables of the server, which its plugins inherit. */
  env?: Record<string, string>
  /** URLs on 127.0.0.1 that the server and its plugins reach, besides the API server and S3: another environment's bucket. */
  reach?: string[]
}

type Manifests = { cluster: string[]; services: string[]; eventing: string[] }

export type Settings = Required<Omit<EnvironmentOptions, 'folder' | 'movers' | 'velero' | 'beside' | 'manifests'>> &
  Pick<EnvironmentOptions, 'folder' | 'movers' | 'velero' | 'beside'> & { manifests: Manifests }

/** Functions that move data; their number of instances is the number of movers. */
export const HEAVY_FUNCTIONS = ['upload', 'download']
export const VELERO_NAMESPACE = 'velero'

const DEFAULT_MANIFESTS: Manifests = {
  cluster: ['config/crd', 'config/rbac', 'test/environment/velero'],
  services: ['config/services'],
  eventing: ['eventing/overlays/imc'],
}

export function settingsOf(options: EnvironmentOptions): Settings {
  const { folder, movers, velero, beside, manifests, ...rest } = options
  return {
    keepFolder: false,
    bundles: path.join(PROJECT, 'build/bundles'),
    env: {},
    envOf: {},
    idleMs: 10 * SECOND_MS,
    pingEveryMs: {},
    adapters: true,
    functions: true,
    s3Tls: false,
    knativeCrds: false,
    podAccess: false,
    quota: false,
    faults: false,
    clusterId: 'dormouse-environment',
    say: () => {},
    ...rest,
    manifests: inProject({ ...DEFAULT_MANIFESTS, ...manifests }),
    ...(folder === undefined ? {} : { folder }),
    ...(movers === undefined ? {} : { movers }),
    ...(velero === undefined ? {} : { velero }),
    ...(beside === undefined ? {} : { beside }),
  }
}

/** Long enough for the end of a slice, and short enough that a test does not hang. */
export const FUNCTION_GRACE_MS = MINUTE_MS / 2

function inProject(manifests: Manifests): Manifests {
  const absolute = (places: string[]) => places.map((place) => path.resolve(PROJECT, place))
  return {
    cluster: absolute(manifests.cluster),
    services: absolute(manifests.services),
    eventing: absolute(manifests.eventing),
  }
}
