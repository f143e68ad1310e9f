// The objects that `velero install` creates in a cluster, printed by the real command line.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { LooseObject } from '#test/support/loose-object.ts'

const run = promisify(execFile)

const WITHOUT_STORE = ['--no-default-backup-location', '--no-secret', '--use-volume-snapshots=false']

/** CRDs, namespace, rights and the Deployment. The Deployment has no replicas: the server reads it, and runs as a process here. */
export async function installedByVelero(program: string, kubeconfig: string): Promise<LooseObject[]> {
  const command = ['install', '--kubeconfig', kubeconfig, ...WITHOUT_STORE, '--dry-run', '--output', 'json']
  const { stdout } = await run(program, command, { maxBuffer: 64 * 1024 * 1024 })
  const objects: LooseObject[] = JSON.parse(stdout).items
  return objects.map((object) =>
    object.kind === 'Deployment' ? { ...object, spec: { ...object['spec'], replicas: 0 } } : object,
  )
}

/** `objects` without those that Velero has installed; a shortened copy must not replace the full one. */
export function withoutOthersOf(installed: LooseObject[], objects: LooseObject[]): LooseObject[] {
  const names = new Set(installed.map(identityOf))
  return objects.filter((object) => !names.has(identityOf(object)))
}

function identityOf({ kind, metadata }: LooseObject): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
}
