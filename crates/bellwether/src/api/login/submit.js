// Mail programs open links to look at them, and run no scripts: only this uses the link up.
document.getElementById("login").submit();
