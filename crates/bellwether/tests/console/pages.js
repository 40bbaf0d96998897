console.error("not written"); process.exitCode = 1;
