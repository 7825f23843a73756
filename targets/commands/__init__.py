"""Commands of `nexusbuild` that know what a spec means."""
