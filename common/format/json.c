int json_placeholder; /* replaced */
