// What a Knative Service manifest says about a function, as far as it applies to processes without containers.

import path from 'node:path'
import type { LooseObject } from '#test/support/loose-object.ts'

export type FunctionSpec = {
  /** Name of the Knative Service. */
  name: string
  /** The step that it does: its name without the prefix of the product. */
  step: string
  /** File name of its bundle. */
  bundle: string
  namespace: string
  serviceAccount: string
  /** undefined: no limit. */
  maxScale: number | undefined
  /** Requests per instance after which another instance is wanted. */
  target: number
  /** Requests that one instance gets at a time; more of them wait. */
  concurrency: number
  timeoutMs: number
  readinessPath: string | undefined
  container: Container
  volumes: Volume[]
}

export type Container = {
  command?: string[]
  env?: EnvVar[]
  envFrom?: { configMapRef?: NamedRef; secretRef?: NamedRef; prefix?: string }[]
  volumeMounts?: { name: string; mountPath: string; subPath?: string }[]
  readinessProbe?: { httpGet?: { path?: string } }
}
export type EnvVar = {
  name: string
  value?: string
  valueFrom?: { configMapKeyRef?: KeyRef; secretKeyRef?: KeyRef; fieldRef?: { fieldPath: string } }
}
export type KeyRef = NamedRef & { key: string }
export type NamedRef = { name: string; optional?: boolean }
export type Volume = {
  name: string
  secret?: { secretName: string; optional?: boolean }
  configMap?: NamedRef
  projected?: { sources: { secret?: NamedRef; configMap?: NamedRef }[] }
}

const PREFIX = /^dormouse-/
const SCALE = 'autoscaling.knative.dev'
/** Knative's container-concurrency-target-default, for a Service that sets nothing. */
const DEFAULT_TARGET = 100
// Knative's config-defaults: 300 s for the whole, and 300 s to the response's start whenever that is not set.
const DEFAULT_TIMEOUT_SECONDS = 300

export function functionSpec(service: LooseObject): FunctionSpec {
  const { template } = service['spec']
  const { spec } = template
  const annotations: Record<string, string> = template.metadata?.annotations ?? {}
  const maxScale = Number(annotations[`${SCALE}/max-scale`] ?? annotations[`${SCALE}/maxScale`] ?? 0)
  const container: Container = spec.containers[0]
  // 0, the default: no limit.
  const concurrency: number = spec.containerConcurrency ?? 0
  return {
    name: service.metadata.name,
    step: service.metadata.name.replace(PREFIX, ''),
    bundle: bundleOf(service.metadata.name, container),
    namespace: service.metadata.namespace ?? 'default',
    serviceAccount: spec.serviceAccountName ?? 'default',
    maxScale: maxScale === 0 ? undefined : maxScale,
    target: Number(annotations[`${SCALE}/target`] ?? (concurrency || DEFAULT_TARGET)),
    concurrency: concurrency || Number.POSITIVE_INFINITY,
    timeoutMs: 1000 * timeoutSeconds(spec),
    readinessPath: container.readinessProbe?.httpGet?.path,
    container,
    volumes: spec.volumes ?? [],
  }
}

// Functions answer when they end, so the limit for the response's start limits the whole request.
function timeoutSeconds(spec: { timeoutSeconds?: number; responseStartTimeoutSeconds?: number }): number {
  const whole = spec.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS
  return Math.min(whole, spec.responseStartTimeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS)
}

/** `[node, /somewhere/upload.mjs]` runs the bundle upload.mjs; without a command, the name of the Service decides. */
function bundleOf(service: string, { command = [] }: Container): string {
  return path.basename(command.find((word) => word.endsWith('.mjs')) ?? `${service}.mjs`)
}
