/** Told about what was found wrong and worked around: a parent's page that is corrupt, an index run that does not open. */
export type Warn = (reason: string, message: string) => void
