// Who may use a repository, and for what: the namespaces that it allows, and the BackupStorageLocation that its parameters name.

import type { BackupRepository, BackupStorageLocation } from '#shared/api/types.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'

/** `write`: new backups, deletions, prune. A restore only reads, and needs only the bucket. */
export type RepositoryUse = 'read' | 'write'

/** An empty list allows all. */
export function allowsNamespace(repository: BackupRepository, namespace: string): boolean {
  const allowed: string[] = repository.allowedNamespaces ?? []
  return allowed.length === 0 || allowed.includes(namespace)
}

/** At least one of the namespaces must be allowed. */
export function requireNamespace(repository: BackupRepository, namespaces: readonly string[]): void {
  if (namespaces.some((namespace) => allowsNamespace(repository, namespace))) return
  throw new TerminalError(
    'NamespaceNotAllowed',
    // The message does not list the allowed namespaces, because their names must not be disclosed to this one.
    `BackupRepository ${repository.metadata.name} does not allow the namespace ${namespaces[0]}: make a BackupRepositoryClaim that allows it`,
  )
}

/** As in Velero, a location that is gone (it may be applied a moment later) or set to ReadOnly accepts no backups. */
export function requireWritable(location: BackupStorageLocation | undefined, { name, placeText }: Named): void {
  if (location === undefined) {
    throw new RetryableError(
      'LocationMissing',
      `BackupStorageLocation ${name} does not exist in Velero's namespace, and no other one points at ${placeText()}: ` +
        'create one that does, under any name; a CloneFromSnapshot by hand goes on without it, and Velero restores nothing meanwhile',
    )
  }
  if (!isReadOnly(location)) return
  throw new TerminalError(
    'LocationReadOnly',
    `BackupStorageLocation ${location.metadata.name} has spec.accessMode ReadOnly: set it to ReadWrite to back up or to delete; restores go on`,
  )
}

/** `placeText`: where the repository is, for people. */
type Named = { name: string; placeText: () => string }

export function isReadOnly(location: BackupStorageLocation): boolean {
  return location.spec?.accessMode === 'ReadOnly'
}
